package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// maxFaults bounds how many faults Check reports.
const maxFaults = 20

// Check implements queue.Store. The pages are verified while changes wait, then all
// records and indexes are compared.
func (s *Store) Check(ctx context.Context) error {
	if err := s.submit(ctx, &op{mark: true, alone: s.checkPages}); err != nil {
		return err
	}
	var found []error
	err := s.view(func(v *view) error {
		c := &checker{view: v, dests: make(map[string]*tally)}
		if err := c.run(ctx); err != nil {
			return err
		}
		found = c.faults
		return nil
	})
	if err != nil {
		return err
	}
	return s.faults(found)
}

func (s *Store) faults(found []error) error {
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("spool %q is inconsistent: %w", s.path, errors.Join(found...))
}

func (s *Store) checkPages() error {
	var found []error
	err := s.view(func(v *view) error {
		for err := range v.tx.Check(bolt.WithKVStringer(bolt.HexKVStringer())) {
			if len(found) < maxFaults {
				found = append(found, err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.faults(found)
}

// checker compares records with indexes. For each record it looks up the rows that
// must be there and counts them; that there are no others follows from the number
// of rows in each bucket.
type checker struct {
	*view
	faults []error
	want   [buckets]int
	dests  map[string]*tally
	totals counters
}

// tally is what the summary of a destination should say.
type tally struct {
	count int
	due   tick
}

func (c *checker) fault(format string, args ...any) {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, fmt.Errorf(format, args...))
	}
}

// expect demands a row in an index.
func (c *checker) expect(n bucket, key []byte, what string, args ...any) (value []byte) {
	c.want[n]++
	v := c.bucket(n).Get(key)
	if v == nil {
		c.fault("%s: no row in %s", fmt.Sprintf(what, args...), n.name())
	}
	return v
}

func (c *checker) run(ctx context.Context) error {
	steps := []func() error{
		func() error { return c.each(ctx, messageBucket, c.message) },
		func() error { return c.each(ctx, stagedBucket, c.stagedBody) },
		func() error { return c.each(ctx, retiredBucket, c.retired) },
		func() error { return c.each(ctx, destBucket, c.destination) },
		func() error { return c.each(ctx, endedBucket, c.ended) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	c.want[metaBucket] = 2
	c.want[destBucket] = len(c.dests)
	for n := range buckets {
		rows := 0
		if err := c.each(ctx, n, func(_, _ []byte) { rows++ }); err != nil {
			return err
		}
		if rows != c.want[n] {
			c.fault("bucket %s has %d rows, the records account for %d", n.name(), rows, c.want[n])
		}
	}
	c.counters()
	return nil
}

func (c *checker) each(ctx context.Context, n bucket, fn func(k, v []byte)) error {
	cur := c.bucket(n).Cursor()
	for k, v := cur.First(); k != nil; k, v = cur.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		fn(k, v)
	}
	return nil
}

// message checks all that belongs to a message.
func (c *checker) message(k, v []byte) {
	id := idIn(k)
	c.want[messageBucket]++
	m, err := c.decodeMessage(v)
	st, stateErr := c.state(id)
	c.want[workBucket]++
	if err != nil || stateErr != nil || st == nil {
		c.fault("message %s cannot be read: %w", id, errors.Join(err, stateErr))
		return
	}
	if m.ID != id || uint64(m.Size) != st.size || senderHash(m) != st.sender || domainHash(m.Envelope.ReversePath.Domain) != st.domain ||
		tickOf(m.NoticeAt) != st.notice || tickOf(m.Expires) != st.expires {
		c.fault("message %s: state and envelope differ", id)
	}
	if st.open == 0 && st.owed == 0 {
		c.fault("message %s has ended but is in the queue", id)
	}
	c.deliveries(id, st, len(m.Recipients))
	c.indexes(id, st)
	c.body(id, st)
	c.totals.messages++
	c.totals.bytes += st.size
}

// deliveries checks the deliveries of a message and their rows in the due index.
func (c *checker) deliveries(id queue.ID, st *state, recipients int) {
	var open, untried uint16
	var owed uint32
	seen := make(map[int]bool)
	for n := range st.next {
		key := queue.DeliveryKey{Message: id, N: n}
		row, err := c.delivery(key)
		if err != nil || row == nil {
			c.fault("delivery %s.%d cannot be read: %v", id, n, err)
			continue
		}
		c.want[workBucket]++
		for _, r := range row.Recipients {
			if seen[r.Index] || r.Index < 0 || r.Index >= recipients {
				c.fault("delivery %s.%d: recipient %d is one too many", id, n, r.Index)
			}
			seen[r.Index] = true
			if r.Owed {
				owed++
			}
		}
		if !slices.IsSortedFunc(row.Recipients, func(a, b recipientRow) int { return cmp.Compare(a.Index, b.Index) }) {
			c.fault("delivery %s.%d: its recipients are out of order", id, n)
		}
		if row.ended() != row.done() {
			c.fault("delivery %s.%d is %s but its recipients are not", id, n, row.State)
		}
		if row.done() {
			continue
		}
		open++
		if row.State == queue.Queued {
			untried++
		}
		c.due(st, key, row)
	}
	if open != st.open || untried != st.untried || owed != st.owed || len(seen) != recipients {
		c.fault("message %s: %d open, %d untried, %d owed, %d recipients; its state says %d, %d, %d and its envelope %d",
			id, open, untried, owed, len(seen), st.open, st.untried, st.owed, recipients)
	}
}

// due checks a delivery that is not done.
func (c *checker) due(st *state, key queue.DeliveryKey, row *deliveryRow) {
	t := c.dests[row.Destination]
	if t == nil {
		t = new(tally)
		c.dests[row.Destination] = t
	}
	t.count++
	c.totals.deliveries++
	if st.held {
		return
	}
	if t.due == 0 || row.Due < t.due {
		t.due = row.Due
	}
	d, err := c.readDestination([]byte(row.Destination))
	if err != nil || d == nil {
		c.fault("delivery %s.%d: destination %q has no summary: %v", key.Message, key.N, row.Destination, err)
		return
	}
	k := st.due(d.Number, key, row)
	c.expect(dueBucket, k[:], "delivery %s.%d", key.Message, key.N)
}

// indexes checks the rows that a message has beside its deliveries.
func (c *checker) indexes(id queue.ID, st *state) {
	if st.agenda != 0 {
		c.expect(agendaBucket, timedKey(st.agenda, id), "message %s", id)
	} else if st.owed > 0 {
		c.fault("message %s: reports are owed but it is not on the agenda", id)
	}
	c.expect(senderBucket, senderKey(st.domain, id), "message %s", id)
	c.submission(id, st.submission)
	c.attempts(id, st.attempts)
}

func (c *checker) submission(id queue.ID, key []byte) {
	if key != nil && !bytes.Equal(c.expect(submissionBucket, key, "message %s", id), idKey(id)) {
		c.fault("message %s: its submission id leads to another", id)
	}
}

func (c *checker) attempts(id queue.ID, number uint32) {
	for n := range number {
		v := c.expect(attemptBucket, attemptKey(id, n), "message %s, attempt %d", id, n)
		if _, err := c.decodeAttempt(v); err != nil {
			c.fault("message %s, attempt %d: %w", id, n, err)
		}
	}
}

// body checks that all of the body is there.
func (c *checker) body(id queue.ID, st *state) {
	size := 0
	for n := range st.chunks {
		size += len(c.expect(bodyBucket, chunkKey(id, n), "message %s", id))
	}
	if uint64(size) != st.size {
		c.fault("message %s: body has %d bytes, %d were taken", id, size, st.size)
	}
}

// stagedBody counts the chunks of a draft under way.
func (c *checker) stagedBody(k, _ []byte) {
	c.want[stagedBucket]++
	id := idIn(k)
	if c.bucket(messageBucket).Get(k) != nil {
		c.fault("message %s is marked as not accepted", id)
	}
	cur := c.bucket(bodyBucket).Cursor()
	for b, _ := cur.Seek(chunkKey(id, 0)); idIn(b) == id; b, _ = cur.Next() {
		c.want[bodyBucket]++
	}
}

// retired checks a message that has ended.
func (c *checker) retired(k, v []byte) {
	id := idIn(k)
	c.want[retiredBucket]++
	var row retiredRow
	if err := c.decode("retired", v, &row); err != nil {
		c.fault("message %s: %w", id, err)
		return
	}
	if _, err := row.entry(c.codec, id); err != nil {
		c.fault("message %s: %w", id, err)
	}
	c.expect(endedBucket, timedKey(row.Ended, id), "message %s", id)
	c.submission(id, row.Submission)
	c.attempts(id, row.Attempts)
}

func (c *checker) ended(k, _ []byte) {
	if _, _, err := parseTimed(k); err != nil {
		c.fault("ended: %w", err)
	}
}

// destination checks a summary.
func (c *checker) destination(k, v []byte) {
	row, err := c.decodeDestination(k, v)
	if err != nil {
		c.fault("destination %q: %w", k, err)
		return
	}
	c.totals.destinations++
	t := c.dests[string(k)]
	if t == nil {
		t = new(tally)
	}
	if row.Count != t.count || row.Due != t.due {
		c.fault("destination %q: summary says %d due %v, there are %d due %v", k, row.Count, row.Due.time(), t.count, t.due.time())
	}
	if wake := row.wake(); wake != 0 && !bytes.Equal(c.expect(wakeBucket, wakeKey(wake, row.Number), "destination %q", k), k) {
		c.fault("destination %q: wake row is of another", k)
	}
}

func (c *checker) counters() {
	got, err := decodeCounters(c.bucket(metaBucket).Get([]byte(countersKey)))
	if err != nil {
		c.fault("counters: %w", err)
	}
	if got.messages != c.totals.messages || got.deliveries != c.totals.deliveries ||
		got.destinations != c.totals.destinations || got.bytes != c.totals.bytes {
		c.fault("counters say %+v, there are %+v", got, c.totals)
	}
}
