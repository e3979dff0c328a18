package boltstore

import (
	"context"
	"time"

	"postrider/queue"
)

// History implements queue.Store.
func (s *Store) History(ctx context.Context, id queue.ID) ([]queue.Attempt, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.Attempt
	err := s.view(func(v *view) error {
		if v.bucket(workBucket).Get(idKey(id)) == nil && v.bucket(retiredBucket).Get(idKey(id)) == nil {
			return queue.ErrNotFound
		}
		c := v.bucket(attemptBucket).Cursor()
		for k, b := c.Seek(attemptKey(id, 0)); idIn(k) == id; k, b = c.Next() {
			a, err := v.decodeAttempt(b)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return nil
	})
	return out, err
}

// Retired implements queue.Store.
func (s *Store) Retired(ctx context.Context, id queue.ID) (*queue.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var e *queue.Entry
	err := s.view(func(v *view) error {
		b := v.bucket(retiredBucket).Get(idKey(id))
		if b == nil {
			return queue.ErrNotFound
		}
		var row retiredRow
		if err := v.decode("retired", b, &row); err != nil {
			return err
		}
		var err error
		e, err = row.entry(v.codec, id)
		return err
	})
	return e, err
}

// entry decodes the final entry.
func (r *retiredRow) entry(c codec, id queue.ID) (*queue.Entry, error) {
	m, err := c.decodeMessage(r.Message)
	if err != nil {
		return nil, err
	}
	e := &queue.Entry{Message: m, HoldReason: r.HoldReason, Notified: r.Notified, Ended: r.Ended.time()}
	for i, raw := range r.Deliveries[:min(len(r.Deliveries), len(r.Numbers))] {
		row, err := c.decodeDelivery(raw)
		if err != nil {
			return nil, err
		}
		addDelivery(e, queue.DeliveryKey{Message: id, N: r.Numbers[i]}, row, false)
	}
	return e, nil
}

// Forget implements queue.Store.
func (s *Store) Forget(ctx context.Context, before time.Time, most int) (removed int, err error) {
	for removed < most {
		n := 0
		part := min(most-removed, idsPerCommit)
		err := s.submit(ctx, &op{mark: true, apply: func(b *batch) error {
			n = b.forget(before, part)
			return nil
		}})
		if err != nil {
			return removed, err
		}
		removed += n
		if n < part {
			break
		}
	}
	return removed, s.usable(ctx)
}

// forget removes up to most retired messages.
func (b *batch) forget(before time.Time, most int) (removed int) {
	var ended [][]byte
	c := b.bucket(endedBucket).Cursor()
	for k, _ := c.First(); k != nil && len(ended) < most; k, _ = c.Next() {
		at, _, err := parseTimed(k)
		b.fail(err)
		if at >= tickOf(before) || err != nil {
			break
		}
		ended = append(ended, append([]byte(nil), k...))
	}
	for _, k := range ended {
		b.forgetOne(k)
	}
	return len(ended)
}

func (b *batch) forgetOne(ended []byte) {
	_, id, _ := parseTimed(ended)
	var row retiredRow
	if v := b.get(retiredBucket, idKey(id)); v != nil {
		b.fail(b.decode("retired", v, &row))
	}
	for n := range row.Attempts {
		b.delete(attemptBucket, attemptKey(id, n))
	}
	if row.Submission != nil {
		b.delete(submissionBucket, row.Submission)
	}
	b.delete(retiredBucket, idKey(id))
	b.delete(endedBucket, ended)
}
