package boltstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postrider/queue"
)

// Settle implements queue.Store.
func (s *Store) Settle(ctx context.Context, st queue.Settlement, report queue.Draft, m *queue.Message) (queue.ID, error) {
	set := &settling{settlement: st, wait: s.opts.ReportWait}
	if st.Note != "" {
		note := queue.Attempt{Started: st.Now, Note: st.Note}
		var err error
		if set.history, err = s.encodeAttempt(&note); err != nil {
			return 0, fmt.Errorf("encode note on %s: %w", st.Message, err)
		}
	}
	if report == nil {
		return 0, s.submit(ctx, &op{mark: true, apply: set.apply})
	}
	d, ok := report.(*draft)
	switch {
	case !ok || d.store != s:
		return 0, errors.New("the report was not created by this store")
	case !st.RetryAt.IsZero():
		return 0, errors.New("a settlement that is to be tried again carries no report")
	}
	var err error
	if set.report, err = d.finish(m, st.Destinations); err != nil {
		return 0, err
	}
	if err := s.submit(ctx, &op{mark: true, size: len(d.buf), apply: set.apply}); err != nil {
		return 0, errors.Join(err, d.discard())
	}
	m.ID = set.report.result
	return m.ID, nil
}

// settling is a Settle ready to be applied.
type settling struct {
	settlement queue.Settlement
	wait       time.Duration
	history    []byte
	report     *acceptance
}

func (s *settling) apply(b *batch) error {
	id := s.settlement.Message
	st := b.state(id)
	if st == nil {
		return queue.ErrNotFound
	}
	if s.report != nil {
		if err := s.report.apply(b); err != nil {
			return err
		}
	}
	if s.history != nil {
		b.addAttempt(id, st, s.history)
	}
	if !s.settlement.RetryAt.IsZero() {
		b.setAgenda(id, st, max(tickOf(s.settlement.RetryAt), 1))
		b.putState(id, st)
		return nil
	}
	st.notified = st.notified || s.settlement.Notified
	s.clear(b, id, st)
	b.conclude(id, st, s.settlement.Now, s.next(b, id, st))
	return nil
}

// clear notes for the recipients named that the sender has been told.
func (s *settling) clear(b *batch, id queue.ID, st *state) {
	if len(s.settlement.Recipients) == 0 || st.owed == 0 {
		return
	}
	told := make(map[int]struct{}, len(s.settlement.Recipients))
	for _, index := range s.settlement.Recipients {
		told[index] = struct{}{}
	}
	b.eachDelivery(id, st, func(key queue.DeliveryKey, row *deliveryRow) {
		changed := false
		for i := range row.Recipients {
			r := &row.Recipients[i]
			if _, ok := told[r.Index]; ok && r.Owed {
				r.Owed, changed = false, true
				st.countOwed(true, false)
			}
		}
		if changed {
			b.putDelivery(key, row)
		}
	})
}

// next is when the message comes up again.
func (s *settling) next(b *batch, id queue.ID, st *state) tick {
	if st.owed == 0 {
		return st.schedule()
	}
	at := s.settlement.Now
	if b.pending(id, st) > 0 {
		at = at.Add(s.wait)
	}
	return max(tickOf(at), 1)
}
