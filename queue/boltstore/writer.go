package boltstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// op is one change asked for. apply may run more than once, each time in a new
// transaction; it must not change anything before it knows that it will succeed.
type op struct {
	apply func(*batch) error
	// mark says that it records what has happened already, such as an outcome: it
	// goes ahead of new mail and may use the ballast.
	mark bool
	// alone, if set, is run in place of a transaction.
	alone func() error
	size  int // bytes of bodies
	err   error
	taken bool
	done  chan struct{}
}

// Bounds of one transaction. Dirty pages are kept in memory until the commit.
const (
	maxBatchOps   = 2000
	maxBatchBytes = 4 << 20
)

// opQueue holds what waits for the writer.
type opQueue struct {
	mu     sync.Mutex
	marks  []*op
	mail   []*op
	closed bool
	wake   chan struct{}
}

func newOpQueue() *opQueue { return &opQueue{wake: make(chan struct{}, 1)} }

func (q *opQueue) add(o *op) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return queue.ErrClosed
	}
	if o.mark {
		q.marks = append(q.marks, o)
	} else {
		q.mail = append(q.mail, o)
	}
	q.signal()
	return nil
}

func (q *opQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *opQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.signal()
}

// withdraw takes back what the writer has not taken yet.
func (q *opQueue) withdraw(o *op) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if o.taken {
		return false
	}
	o.taken = true
	return true
}

// take waits for work. It returns none once the queue is closed and empty.
func (q *opQueue) take() []*op {
	for {
		q.mu.Lock()
		var ops []*op
		size := 0
		q.marks = pull(q.marks, &ops, &size)
		q.mail = pull(q.mail, &ops, &size)
		closed := q.closed
		q.mu.Unlock()
		if len(ops) > 0 || closed {
			return ops
		}
		<-q.wake
	}
}

// gather lets callers that were just answered come back, as long as some do: what
// they bring shares the next commit's syncs. It never waits.
func (q *opQueue) gather() {
	for before, now := -1, 0; now > before; {
		before = now
		runtime.Gosched()
		q.mu.Lock()
		now = len(q.marks) + len(q.mail)
		q.mu.Unlock()
	}
}

// pull moves ops from a list to the batch as far as the batch's bounds allow.
func pull(list []*op, batch *[]*op, size *int) (rest []*op) {
	for i, o := range list {
		if o.taken {
			continue
		}
		if n := len(*batch); n > 0 && (n >= maxBatchOps || *size+o.size > maxBatchBytes || o.alone != nil || (*batch)[0].alone != nil) {
			return list[i:]
		}
		o.taken = true
		*size += o.size
		*batch = append(*batch, o)
	}
	return nil
}

// submit has the writer apply a change and waits until it is durable. A context
// that ends withdraws what has not begun.
func (s *Store) submit(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.start(o); err != nil {
		return err
	}
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		if s.queue.withdraw(o) {
			return ctx.Err()
		}
		<-o.done
		return o.err
	}
}

// start hands a change to the writer; done is closed when it is durable or failed.
func (s *Store) start(o *op) error {
	if err := s.broken(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	return s.queue.add(o)
}

// write is the writer goroutine.
func (s *Store) write() {
	defer close(s.done)
	debug.SetPanicOnFault(true)
	for {
		s.queue.gather()
		ops := s.queue.take()
		if len(ops) == 0 {
			return
		}
		s.process(ops)
		for _, o := range ops {
			close(o.done)
		}
	}
}

// process commits ops and sets their errors.
func (s *Store) process(ops []*op) {
	if err := s.broken(); err != nil {
		answer(ops, err)
		return
	}
	if ops[0].alone != nil {
		ops[0].err = s.runAlone(ops[0].alone)
		return
	}
	err := s.commitSound(ops)
	if lacksSpace(err) {
		err = s.commitMarks(ops)
	}
	if err != nil {
		answer(ops, s.fail(err))
		return
	}
	s.restoreBallast()
}

// runAlone runs what needs the database for itself.
func (s *Store) runAlone(fn func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(fmt.Errorf("read %q: %v", s.path, r))
		}
	}()
	return fn()
}

func answer(ops []*op, err error) {
	for _, o := range ops {
		if o.err == nil {
			o.err = err
		}
	}
}

// commitMarks is for a full disk: new mail is refused, outcomes are recorded with
// what space there is, in the end that of the ballast.
func (s *Store) commitMarks(ops []*op) error {
	var marks []*op
	for _, o := range ops {
		if o.mark {
			marks = append(marks, o)
		} else {
			o.err = queue.ErrNoSpace
		}
	}
	if len(marks) == 0 {
		return nil
	}
	err := s.commitSound(marks)
	if lacksSpace(err) && s.ballast.release() {
		s.log.Warn("disk is full; the ballast file was given up to record outcomes", "path", s.ballast.path)
		err = s.commitSound(marks)
	}
	return err
}

func (s *Store) restoreBallast() {
	if s.ballast.size <= 0 || s.ballast.held {
		return
	}
	free, err := s.opts.StatFS(s.path)
	if err != nil || free < s.opts.FreeFloor+s.ballast.size {
		return
	}
	if err := s.ballast.take(); err != nil {
		s.log.Warn("cannot keep space in reserve", "error", err)
	}
}

// damaged is the failure of one op to be applied, for instance because of a record
// that cannot be decoded. The others are not concerned.
type damaged struct {
	op  *op
	err error
}

func (d *damaged) Error() string { return d.err.Error() }
func (d *damaged) Unwrap() error { return d.err }

// commitSound commits all ops but those that cannot be applied.
func (s *Store) commitSound(ops []*op) error {
	left := append([]*op(nil), ops...)
	for {
		for _, o := range left {
			o.err = nil
		}
		err := s.commit(left)
		var d *damaged
		if !errors.As(err, &d) {
			return err
		}
		d.op.err = fmt.Errorf("change spool %q: %w; run \"postrider check\"", s.path, d.err)
		s.log.Error("a change of the spool was refused", "path", s.path, "error", d.err)
		for i, o := range left {
			if o == d.op {
				left = append(left[:i], left[i+1:]...)
				break
			}
		}
	}
}

// commit applies ops in one transaction and makes it durable.
func (s *Store) commit(ops []*op) (err error) {
	b := &batch{codec: s.codec, lastID: s.ids.last.Load, leases: s.leases, dests: s.dests, large: s.large, counters: *s.counters.Load()}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("write %q: %v", s.path, r)
		}
		if err != nil || !b.changed {
			s.dests.forget()
			s.leases.rolledBack(b.pinned)
		}
	}()
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }()
	b.tx = tx
	if err := b.applyAll(ops); err != nil || !b.changed {
		return err
	}
	// Once it is committed the new recipients may be loaded.
	s.recent.remove(b.grown...)
	if err := s.commitTx(tx); err != nil {
		return err
	}
	changed, emptied := s.dests.committed()
	s.counters.Store(&b.counters)
	s.leases.committed(b.pinned, b.added, emptied)
	s.recent.remove(b.retired...)
	s.notify(changed)
	return nil
}

func (b *batch) applyAll(ops []*op) error {
	for _, o := range ops {
		o.err = o.apply(b)
		if b.err != nil {
			return &damaged{o, b.err}
		}
	}
	if b.changed {
		b.finish()
	}
	return b.err
}

func (s *Store) commitTx(tx *bolt.Tx) error {
	if s.opts.commitFault != nil {
		if err := s.opts.commitFault(); err != nil {
			return err
		}
	}
	return tx.Commit()
}
