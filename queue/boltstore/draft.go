package boltstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"postrider/queue"
)

const (
	// chunkSize is the greatest piece of a body that is one value.
	chunkSize = 256 << 10
	// stageSize is how much of a body a draft gathers before it is written ahead.
	stageSize = 4 * chunkSize
	// firstBuffer is the room that a draft begins with: enough for most messages.
	firstBuffer = 4 << 10
	// submissionLen is the length of a key in the submission index.
	submissionLen = 16
)

var errEnded = errors.New("draft was committed or aborted before")

// Create implements queue.Store.
func (s *Store) Create(ctx context.Context) (queue.Draft, error) {
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	return &draft{store: s, id: s.ids.next()}, nil
}

// room fails with ErrNoSpace below the floor.
func (s *Store) room() error {
	free, err := s.opts.StatFS(s.path)
	if err != nil {
		return err
	}
	if free < s.opts.FreeFloor {
		return fmt.Errorf("%w: %d MiB free, %d MiB are to stay so", queue.ErrNoSpace, free>>20, s.opts.FreeFloor>>20)
	}
	return nil
}

// draft is a message being received. Up to stageSize of its body is gathered while
// as much again is being written.
type draft struct {
	store   *Store
	id      queue.ID
	size    uint64
	buf     []byte // not yet given to the writer
	spare   []byte
	chunks  uint32 // given to the writer
	pending *op    // being written
	err     error  // why the draft cannot be committed
	ended   bool
}

// ID implements queue.Draft.
func (d *draft) ID() queue.ID { return d.id }

// Write implements queue.Draft.
func (d *draft) Write(p []byte) (written int, err error) {
	if d.ended {
		return 0, errEnded
	}
	for d.err == nil && len(p) > 0 {
		if len(d.buf) == stageSize {
			d.err = d.stage()
			continue
		}
		if d.buf == nil {
			d.buf = make([]byte, 0, max(len(p), firstBuffer))
		}
		n := min(len(p), stageSize-len(d.buf))
		d.buf = append(d.buf, p[:n]...)
		p = p[n:]
		written += n
	}
	d.size += uint64(written)
	return written, d.err
}

// stage hands the full buffer to the writer, once the one before is written.
func (d *draft) stage() error {
	if err := d.await(); err != nil {
		return err
	}
	if err := d.store.room(); err != nil {
		return err
	}
	id, first, pieces := d.id, d.chunks, split(d.buf)
	o := &op{size: len(d.buf), apply: func(b *batch) error {
		b.put(stagedBucket, idKey(id), []byte{})
		b.putChunks(id, first, pieces)
		return nil
	}}
	if err := d.store.start(o); err != nil {
		return err
	}
	d.pending = o
	d.chunks += uint32(len(pieces))
	d.buf, d.spare = d.spare[:0], d.buf
	return nil
}

// await waits for the write under way.
func (d *draft) await() error {
	if d.pending == nil {
		return nil
	}
	o := d.pending
	d.pending = nil
	<-o.done
	return o.err
}

func split(body []byte) [][]byte {
	pieces := make([][]byte, 0, (len(body)+chunkSize-1)/chunkSize)
	for len(body) > chunkSize {
		pieces = append(pieces, body[:chunkSize])
		body = body[chunkSize:]
	}
	if len(body) > 0 {
		pieces = append(pieces, body)
	}
	return pieces
}

func (b *batch) putChunks(id queue.ID, first uint32, pieces [][]byte) {
	for i, piece := range pieces {
		b.put(bodyBucket, chunkKey(id, first+uint32(i)), piece)
	}
}

// Commit implements queue.Draft.
func (d *draft) Commit(ctx context.Context, m *queue.Message, destinations []string) (queue.ID, error) {
	a, err := d.finish(m, destinations)
	if err != nil {
		return 0, err
	}
	// Whoever watches may load it before we hear of the commit.
	d.store.recent.add(d, m, a)
	o := &op{size: len(d.buf), apply: a.apply}
	if err := d.store.submit(ctx, o); err != nil {
		d.store.recent.remove(d.id)
		return 0, errors.Join(err, d.discard())
	}
	if a.result != d.id {
		d.store.recent.remove(d.id)
	}
	m.ID = a.result
	return a.result, nil
}

// finish ends the draft and prepares its acceptance.
func (d *draft) finish(m *queue.Message, destinations []string) (*acceptance, error) {
	if d.ended {
		return nil, errEnded
	}
	d.ended = true
	err := d.err
	if err == nil {
		err = d.await()
	}
	if err == nil {
		err = checkMessage(m, destinations)
	}
	if err != nil {
		return nil, errors.Join(err, d.discard())
	}
	m.ID, m.Size = d.id, int64(d.size)
	return d.store.newAcceptance(d, m, destinations)
}

func checkMessage(m *queue.Message, destinations []string) error {
	switch {
	case len(m.Recipients) == 0:
		return errors.New("a message needs a recipient")
	case len(m.Recipients) > math.MaxUint16:
		return fmt.Errorf("a message has at most %d recipients, not %d", math.MaxUint16, len(m.Recipients))
	case len(destinations) != len(m.Recipients):
		return fmt.Errorf("%d destinations for %d recipients", len(destinations), len(m.Recipients))
	case m.Arrival.IsZero():
		return errors.New("a message needs the time of its arrival")
	}
	for _, name := range destinations {
		if err := checkDestination(name); err != nil {
			return err
		}
	}
	return nil
}

// Abort implements queue.Draft.
func (d *draft) Abort() error {
	if d.ended {
		return nil
	}
	d.ended = true
	return d.discard()
}

// discard removes what was written ahead. If that fails, Open will do it.
func (d *draft) discard() error {
	_ = d.await()
	d.buf, d.spare = nil, nil
	if d.chunks == 0 {
		return nil
	}
	return d.store.unstage(context.Background(), d.id)
}

// acceptance is a message ready to be stored.
type acceptance struct {
	id      queue.ID
	message []byte
	state   state
	keys    []queue.DeliveryKey
	rows    []deliveryRow
	encoded [][]byte
	first   uint32 // number of the first of pieces
	pieces  [][]byte
	// result is the ID of the message, or of the one it is a repetition of.
	result queue.ID
}

func (s *Store) newAcceptance(d *draft, m *queue.Message, destinations []string) (*acceptance, error) {
	a := &acceptance{id: d.id, first: d.chunks, pieces: split(d.buf)}
	a.addDeliveries(m, destinations)
	a.state = state{
		next:    uint16(len(a.rows)),
		open:    uint16(len(a.rows)),
		untried: uint16(len(a.rows)),
		chunks:  d.chunks + uint32(len(a.pieces)),
		sender:  senderHash(m),
		domain:  domainHash(m.Envelope.ReversePath.Domain),
		size:    d.size,
		notice:  tickOf(m.NoticeAt),
		expires: tickOf(m.Expires),
	}
	if m.SubmissionID != "" {
		a.state.submission = submissionKey(m.Origin.UID, m.SubmissionID)
	}
	var err error
	if a.message, err = s.encodeMessage(m); err != nil {
		return nil, fmt.Errorf("encode message %s: %w", m.ID, err)
	}
	for i := range a.rows {
		encoded, err := s.enc.Marshal(&a.rows[i])
		if err != nil {
			return nil, fmt.Errorf("encode delivery of message %s: %w", m.ID, err)
		}
		a.encoded = append(a.encoded, encoded)
	}
	return a, nil
}

// addDeliveries groups the recipients by destination.
func (a *acceptance) addDeliveries(m *queue.Message, destinations []string) {
	byName := make(map[string]int, 1)
	for i, name := range destinations {
		n, ok := byName[name]
		if !ok {
			n = len(a.rows)
			byName[name] = n
			a.keys = append(a.keys, queue.DeliveryKey{Message: a.id, N: uint16(n)})
			a.rows = append(a.rows, deliveryRow{
				Delivery: queue.Delivery{Destination: name, State: queue.Queued},
				Due:      tickOf(m.Arrival),
			})
		}
		row := recipientRow{DeliveryRecipient: queue.DeliveryRecipient{Index: i}}
		a.rows[n].Recipients = append(a.rows[n].Recipients, row)
	}
}

func submissionKey(uid int, id string) []byte {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint64(make([]byte, 0, 64), uint64(uid)), id...))
	return sum[:submissionLen:submissionLen]
}

// apply stores the message, unless it was submitted before.
func (a *acceptance) apply(b *batch) error {
	if a.repeats(b) {
		return nil
	}
	a.result = a.id
	st := a.state // apply may run again
	b.put(messageBucket, idKey(a.id), a.message)
	b.putChunks(a.id, a.first, a.pieces)
	if a.first > 0 {
		b.delete(stagedBucket, idKey(a.id))
	}
	for i, key := range a.keys {
		b.put(workBucket, deliveryKey(key), a.encoded[i])
		b.count(a.rows[i].Destination, 1)
		b.schedule(&st, key, &a.rows[i])
	}
	b.setAgenda(a.id, &st, st.schedule())
	b.put(senderBucket, senderKey(st.domain, a.id), binary.BigEndian.AppendUint32(nil, st.sender))
	if st.submission != nil {
		b.put(submissionBucket, st.submission, idKey(a.id))
	}
	b.putState(a.id, &st)
	b.counters.messages++
	b.counters.bytes += st.size
	return nil
}

// repeats finds the message that was stored under the same submission id, and
// removes what of this one was written ahead.
func (a *acceptance) repeats(b *batch) bool {
	if a.state.submission == nil {
		return false
	}
	first := idIn(b.get(submissionBucket, a.state.submission))
	if first == 0 {
		return false
	}
	a.result = first
	if a.first > 0 {
		b.deleteChunks(a.id, a.first)
		b.delete(stagedBucket, idKey(a.id))
	}
	return true
}
