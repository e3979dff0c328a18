package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// window bounds how many rows a call looks at.
const window = 1000

// state reads a message's state, nil if it is not in the queue.
func (v *view) state(id queue.ID) (*state, error) {
	b := v.bucket(workBucket).Get(idKey(id))
	if b == nil {
		return nil, nil
	}
	return decodeState(b)
}

// delivery reads a delivery, nil if there is none.
func (v *view) delivery(key queue.DeliveryKey) (*deliveryRow, error) {
	b := v.bucket(workBucket).Get(deliveryKey(key))
	if b == nil {
		return nil, nil
	}
	return v.decodeDelivery(b)
}

// entry reads a message with its deliveries, nil if it is not in the queue.
func (v *view) entry(id queue.ID) (*queue.Entry, error) { return v.entries().read(id) }

// entries reads messages with their deliveries. In order of ID the next one is
// where the last one ended, and found without a search.
func (v *view) entries() *entryReader {
	return &entryReader{v: v, messages: walker{c: v.bucket(messageBucket).Cursor()}, work: walker{c: v.bucket(workBucket).Cursor()}}
}

type entryReader struct {
	v              *view
	messages, work walker
	key            [idLen]byte
}

// walker is a cursor that knows where it is.
type walker struct {
	c          *bolt.Cursor
	key, value []byte
}

// to goes to a key or the first one after it.
func (w *walker) to(key []byte) {
	if !bytes.Equal(w.key, key) {
		w.key, w.value = w.c.Seek(key)
	}
}

func (w *walker) next() { w.key, w.value = w.c.Next() }

func (r *entryReader) read(id queue.ID) (*queue.Entry, error) {
	key := appendID(r.key[:0], id)
	r.work.to(key)
	r.messages.to(key)
	if !bytes.Equal(r.work.key, key) || !bytes.Equal(r.messages.key, key) {
		return nil, nil
	}
	st, err := decodeState(r.work.value)
	if err != nil {
		return nil, err
	}
	m, err := r.v.decodeMessage(r.messages.value)
	if err != nil {
		return nil, err
	}
	r.messages.next()
	e := &queue.Entry{Message: m, HoldReason: st.holdReason, Notified: st.notified}
	for r.work.next(); len(r.work.key) == deliveryLen && idIn(r.work.key) == id; r.work.next() {
		row, err := r.v.decodeDelivery(r.work.value)
		if err != nil {
			return nil, err
		}
		addDelivery(e, queue.DeliveryKey{Message: id, N: binary.BigEndian.Uint16(r.work.key[idLen:])}, row, st.held)
	}
	return e, nil
}

// addDelivery adds a delivery to an entry, unless all its recipients were moved.
func addDelivery(e *queue.Entry, key queue.DeliveryKey, row *deliveryRow, held bool) {
	if len(row.Recipients) == 0 {
		return
	}
	d := row.delivery(key)
	if held && d.State != queue.Done {
		d.State = queue.Held
	}
	e.Deliveries = append(e.Deliveries, d)
}

// showLeases marks the deliveries that are leased. It is called outside of read
// transactions.
func (s *Store) showLeases(e *queue.Entry) {
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		if (d.State == queue.Queued || d.State == queue.Deferred) && s.leases.leased(d.Key, time.Time{}) {
			d.State = queue.Active
		}
	}
}

// Get implements queue.Store.
func (s *Store) Get(ctx context.Context, id queue.ID) (*queue.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var e *queue.Entry
	err := s.view(func(v *view) (err error) {
		e, err = v.entry(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, queue.ErrNotFound
	}
	s.showLeases(e)
	return e, nil
}

// List implements queue.Store. A call looks at no more than about a window of
// messages, in read transactions of no more than what is asked for.
func (s *Store) List(ctx context.Context, f queue.Filter, after queue.ID, most int) (entries []queue.Entry, next queue.ID, err error) {
	step := min(max(most, 16), window)
	for seen := 0; seen < window; seen += step {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		found, last, err := s.entriesAfter(f, after, step)
		if err != nil {
			return nil, 0, err
		}
		for _, e := range found {
			s.showLeases(e)
			if !f.Match(e) {
				continue
			}
			if len(entries) == most {
				return entries, after, nil
			}
			entries = append(entries, *e)
			after = e.Message.ID
		}
		if last == 0 {
			return entries, 0, nil
		}
		after = last
	}
	return entries, after, nil
}

// entriesAfter reads the next candidates for the filter. last is the last one
// looked at, zero if there are no more.
func (s *Store) entriesAfter(f queue.Filter, after queue.ID, most int) (found []*queue.Entry, last queue.ID, err error) {
	var ids []queue.ID
	if err := s.view(func(v *view) error {
		ids, last = v.candidates(f, after, most)
		return nil
	}); err != nil {
		return nil, 0, err
	}
	found, err = s.readAll(ids)
	return found, last, err
}

// readTogether is how many entries make it worth while to decode on two processors.
const readTogether = 64

// readAll reads messages in the order given; those that have gone are left out.
func (s *Store) readAll(ids []queue.ID) ([]*queue.Entry, error) {
	if len(ids) < readTogether {
		return s.readSome(ids)
	}
	var second []*queue.Entry
	var secondErr error
	done := make(chan struct{})
	half := len(ids) / 2
	go func() {
		defer close(done)
		second, secondErr = s.readSome(ids[half:])
	}()
	first, err := s.readSome(ids[:half])
	<-done
	return append(first, second...), errors.Join(err, secondErr)
}

func (s *Store) readSome(ids []queue.ID) (found []*queue.Entry, err error) {
	found = make([]*queue.Entry, 0, len(ids))
	err = s.view(func(v *view) error {
		entries := v.entries()
		for _, id := range ids {
			e, err := entries.read(id)
			if err != nil {
				return err
			}
			if e != nil {
				found = append(found, e)
			}
		}
		return nil
	})
	return found, err
}

// candidates are the first messages after the given one that may match. last is
// where to go on, zero at the end.
func (v *view) candidates(f queue.Filter, after queue.ID, most int) (ids []queue.ID, last queue.ID) {
	switch {
	case len(f.IDs) > 0:
		ids = listed(f.IDs, after, most)
	case f.Sender != "":
		ids = v.sentFrom(senderDomain(f.Sender), after, most)
	default:
		return v.written(rcptDomain(f), after, most)
	}
	if len(ids) == most {
		last = ids[most-1]
	}
	return ids, last
}

// sentFrom asks the sender index.
func (v *view) sentFrom(domain string, after queue.ID, most int) []queue.ID {
	ids := make([]queue.ID, 0, most)
	prefix := binary.BigEndian.AppendUint64(nil, domainHash(domain))
	c := v.bucket(senderBucket).Cursor()
	k, _ := c.Seek(appendID(slices.Clone(prefix), after+1))
	for ; len(k) == senderLen && slices.Equal(k[:8], prefix) && len(ids) < most; k, _ = c.Next() {
		ids = append(ids, idIn(k[8:]))
	}
	return ids
}

// listed sorts the IDs and leaves those out that do not come after.
func listed(ids []queue.ID, after queue.ID, most int) []queue.ID {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	from, _ := slices.BinarySearch(ids, after+1)
	return ids[from:min(len(ids), from+most)]
}

// Destinations implements queue.Store.
func (s *Store) Destinations(ctx context.Context, after string, most int) ([]queue.Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.Destination
	err := s.view(func(v *view) error {
		c := v.bucket(destBucket).Cursor()
		k, b := c.Seek([]byte(after))
		if string(k) == after {
			k, b = c.Next()
		}
		for ; k != nil && len(out) < most; k, b = c.Next() {
			row, err := v.decodeDestination(k, b)
			if err != nil {
				return err
			}
			out = append(out, row.destination())
		}
		return nil
	})
	return out, err
}

// Waking implements queue.Store.
func (s *Store) Waking(ctx context.Context, until time.Time, most int) ([]queue.Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.Destination
	err := s.view(func(v *view) error {
		c := v.bucket(wakeBucket).Cursor()
		for k, name := c.First(); k != nil && len(out) < most; k, name = c.Next() {
			at, err := waking(k)
			if err != nil {
				return err
			}
			if at > tickOf(until) {
				return nil
			}
			row, err := v.readDestination(name)
			if err != nil {
				return err
			}
			if row != nil {
				out = append(out, row.destination())
			}
		}
		return nil
	})
	return out, err
}

// Agenda implements queue.Store.
func (s *Store) Agenda(ctx context.Context, until time.Time, most int) ([]queue.AgendaItem, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.AgendaItem
	err := s.view(func(v *view) error {
		c := v.bucket(agendaBucket).Cursor()
		for k, _ := c.First(); k != nil && len(out) < most; k, _ = c.Next() {
			at, id, err := parseTimed(k)
			if err != nil {
				return err
			}
			if at > tickOf(until) {
				return nil
			}
			out = append(out, queue.AgendaItem{ID: id, At: at.time()})
		}
		return nil
	})
	return out, err
}
