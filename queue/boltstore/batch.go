package boltstore

import (
	"encoding/binary"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// batch is one write transaction with what is known before it is committed. The
// first failure of a put or of decoding sticks in err: the transaction is then
// rolled back whatever else is done.
type batch struct {
	codec
	tx       *bolt.Tx
	open     [buckets]*bolt.Bucket
	lastID   func() uint64
	leases   *leases
	dests    *destinations
	large    *large
	counters counters
	err      error
	changed  bool
	// pinned are the deliveries whose leases end with the commit.
	pinned []queue.DeliveryKey
	// retired are messages that end with the commit.
	retired []queue.ID
	// grown are messages that get more recipients.
	grown []queue.ID
	// added are rows put into the due index.
	added []dueKey
}

func (b *batch) fail(err error) {
	if b.err == nil && err != nil {
		b.err = err
	}
}

func (b *batch) bucket(n bucket) *bolt.Bucket {
	if b.open[n] == nil {
		b.open[n] = b.tx.Bucket(n.name())
		b.open[n].FillPercent = n.fill()
	}
	return b.open[n]
}

// get returns a value that is valid until the next put into the bucket.
func (b *batch) get(n bucket, key []byte) []byte { return b.bucket(n).Get(key) }

// put stores a value, which must not change until the commit.
func (b *batch) put(n bucket, key, value []byte) {
	b.changed = true
	if err := b.bucket(n).Put(key, value); err != nil {
		b.fail(fmt.Errorf("put into %s: %w", n.name(), err))
	}
}

func (b *batch) delete(n bucket, key []byte) {
	b.changed = true
	if err := b.bucket(n).Delete(key); err != nil {
		b.fail(fmt.Errorf("delete from %s: %w", n.name(), err))
	}
}

// encode encodes a row.
func (b *batch) encode(row any) []byte {
	v, err := b.enc.Marshal(row)
	b.fail(err)
	return v
}

// state reads a message's state, nil if it is not in the queue.
func (b *batch) state(id queue.ID) *state {
	v := b.get(workBucket, idKey(id))
	if v == nil {
		return nil
	}
	st, err := decodeState(v)
	b.fail(err)
	return st
}

func (b *batch) putState(id queue.ID, st *state) { b.put(workBucket, idKey(id), st.encode()) }

// delivery reads a delivery, nil if there is none.
func (b *batch) delivery(key queue.DeliveryKey) *deliveryRow {
	v := b.get(workBucket, deliveryKey(key))
	if v == nil {
		return nil
	}
	row, err := b.decodeDelivery(v)
	b.fail(err)
	return row
}

// eachDelivery calls fn with the deliveries of a message. It ends at the first
// failure. fn may change them.
func (b *batch) eachDelivery(id queue.ID, st *state, fn func(queue.DeliveryKey, *deliveryRow)) {
	for n := range st.next {
		key := queue.DeliveryKey{Message: id, N: n}
		if row := b.delivery(key); row != nil && b.err == nil {
			fn(key, row)
		}
	}
}

func (b *batch) putDelivery(key queue.DeliveryKey, row *deliveryRow) {
	b.put(workBucket, deliveryKey(key), b.encode(row))
}

// schedule puts the delivery into the due index.
func (b *batch) schedule(st *state, key queue.DeliveryKey, row *deliveryRow) {
	d := b.dests.get(b, row.Destination)
	if d == nil {
		return
	}
	due := st.due(d.Number, key, row)
	b.put(dueBucket, due[:], binary.BigEndian.AppendUint32(nil, st.sender))
	b.added = append(b.added, due)
	d.added(row.Due)
}

// unschedule takes the delivery, as it was scheduled, out of the due index.
func (b *batch) unschedule(st *state, key queue.DeliveryKey, row *deliveryRow) {
	d := b.dests.get(b, row.Destination)
	if d == nil {
		return
	}
	due := st.due(d.Number, key, row)
	b.delete(dueBucket, due[:])
	d.removed(row.Due)
}

// count changes the number of deliveries of the destination that are not done.
func (b *batch) count(destination string, by int) {
	if d := b.dests.get(b, destination); d != nil {
		d.Count += by
		b.counters.deliveries += uint64(by)
	}
}

// setAgenda moves the message on the agenda.
func (b *batch) setAgenda(id queue.ID, st *state, at tick) {
	if at == st.agenda {
		return
	}
	if st.agenda != 0 {
		b.delete(agendaBucket, timedKey(st.agenda, id))
	}
	if at != 0 {
		b.put(agendaBucket, timedKey(at, id), []byte{})
	}
	st.agenda = at
}

// addAttempt adds to the message's history.
func (b *batch) addAttempt(id queue.ID, st *state, encoded []byte) {
	b.put(attemptBucket, attemptKey(id, st.attempts), encoded)
	st.attempts++
}

// pin keeps the delivery from being leased until the commit, and ends its lease
// with it.
func (b *batch) pin(st *state, key queue.DeliveryKey, row *deliveryRow) {
	var due dueKey
	if d := b.dests.get(b, row.Destination); d != nil {
		due = st.due(d.Number, key, row)
	}
	b.leases.pin(key, due)
	b.pinned = append(b.pinned, key)
}

// finish writes what is kept once a commit.
func (b *batch) finish() {
	b.dests.store(b)
	b.counters.lastID = b.lastID()
	b.put(metaBucket, []byte(countersKey), b.counters.encode())
}
