package boltstore

import (
	"context"
	"fmt"
	"time"

	"postrider/queue"
)

// idsPerCommit bounds the transactions of what is asked for many messages.
const idsPerCommit = 250

// eachID applies a change to messages, several in a transaction, and returns the
// sum of what each gave. Messages not in the queue are passed over.
func (s *Store) eachID(ctx context.Context, ids []queue.ID, change func(*batch, queue.ID, *state) int) (total int, err error) {
	for len(ids) > 0 {
		part := ids[:min(len(ids), idsPerCommit)]
		ids = ids[len(part):]
		n := 0
		err := s.submit(ctx, &op{mark: true, apply: func(b *batch) error {
			n = 0
			for _, id := range part {
				if st := b.state(id); st != nil && b.err == nil {
					n += change(b, id, st)
				}
			}
			return nil
		}})
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, s.usable(ctx)
}

// Suspend implements queue.Store.
func (s *Store) Suspend(ctx context.Context, destination string, until time.Time, reason string, failures int) error {
	return s.submit(ctx, &op{mark: true, apply: func(b *batch) error {
		if !b.dests.exists(b, destination) {
			return nil
		}
		d := b.dests.get(b, destination)
		if d == nil {
			return b.err
		}
		d.Suspended, d.Reason, d.Failures = tickOf(until), reason, failures
		b.changed = true
		return nil
	}})
}

// Flush implements queue.Store.
func (s *Store) Flush(ctx context.Context, now time.Time, ids ...queue.ID) (int, error) {
	due := max(tickOf(now), 1)
	return s.eachID(ctx, ids, func(b *batch, id queue.ID, st *state) (flushed int) {
		if st.held {
			return 0
		}
		b.eachDelivery(id, st, func(key queue.DeliveryKey, row *deliveryRow) {
			if row.done() || row.Due <= due || b.leases.leased(key, now) {
				return
			}
			b.unschedule(st, key, row)
			row.Due = due
			b.schedule(st, key, row)
			b.putDelivery(key, row)
			flushed++
		})
		return flushed
	})
}

// Hold implements queue.Store.
func (s *Store) Hold(ctx context.Context, reason string, ids ...queue.ID) (int, error) {
	return s.eachID(ctx, ids, func(b *batch, id queue.ID, st *state) int {
		if st.held || st.open == 0 {
			return 0
		}
		b.eachDelivery(id, st, func(key queue.DeliveryKey, row *deliveryRow) {
			if !row.done() {
				b.pin(st, key, row)
				b.unschedule(st, key, row)
			}
		})
		st.held, st.holdReason = true, reason
		b.putState(id, st)
		return 1
	})
}

// Unhold implements queue.Store.
func (s *Store) Unhold(ctx context.Context, ids ...queue.ID) (int, error) {
	return s.eachID(ctx, ids, func(b *batch, id queue.ID, st *state) int {
		if !st.held {
			return 0
		}
		b.eachDelivery(id, st, func(key queue.DeliveryKey, row *deliveryRow) {
			if !row.done() {
				b.schedule(st, key, row)
			}
		})
		st.held, st.holdReason = false, ""
		b.putState(id, st)
		return 1
	})
}

// Delete implements queue.Store.
func (s *Store) Delete(ctx context.Context, now time.Time, note string, ids ...queue.ID) (int, error) {
	return s.eachID(ctx, ids, func(b *batch, id queue.ID, st *state) int {
		var outcomes []queue.Outcome
		b.eachDelivery(id, st, func(_ queue.DeliveryKey, row *deliveryRow) {
			for _, r := range row.Recipients {
				if !r.Result.Ended() {
					outcomes = append(outcomes, queue.Outcome{Index: r.Index, Result: queue.Removed, Status: "5.0.0", Reply: note})
				}
			}
		})
		b.endRecipients(id, st, now, note, outcomes, nil)
		if st.owed > 0 {
			b.clearOwed(id, st)
		}
		b.conclude(id, st, now, 0)
		return 1
	})
}

// clearOwed drops what is owed to the sender.
func (b *batch) clearOwed(id queue.ID, st *state) {
	b.eachDelivery(id, st, func(key queue.DeliveryKey, row *deliveryRow) {
		for i := range row.Recipients {
			row.Recipients[i].Owed = false
		}
		b.putDelivery(key, row)
	})
	st.owed = 0
}

// Conclude implements queue.Store.
func (s *Store) Conclude(ctx context.Context, id queue.ID, now time.Time, note string, outcomes []queue.Outcome) error {
	for _, o := range outcomes {
		if !o.Result.Ended() {
			return fmt.Errorf("conclude recipient %d of %s: %s is no end", o.Index, id, o.Result)
		}
	}
	return s.submit(ctx, &op{mark: true, apply: func(b *batch) error {
		st := b.state(id)
		if st == nil {
			return queue.ErrNotFound
		}
		owedBefore := st.owed
		leased := func(key queue.DeliveryKey) bool { return b.leases.leased(key, now) }
		if !b.endRecipients(id, st, now, note, outcomes, leased) {
			return nil
		}
		b.conclude(id, st, now, b.agendaAfter(st, owedBefore, b.pending(id, st), now, s.opts.ReportWait))
		return nil
	}})
}

// endRecipients notes final outcomes outside of an attempt in all deliveries that
// are not to be passed over, and tells whether there were any.
func (b *batch) endRecipients(id queue.ID, st *state, now time.Time, note string, outcomes []queue.Outcome, passOver func(queue.DeliveryKey) bool) bool {
	done := queue.Attempt{Started: now, Note: note}
	touched := 0
	byIndex := make(map[int]queue.Outcome, len(outcomes))
	for _, o := range outcomes {
		if _, ok := byIndex[o.Index]; !ok {
			byIndex[o.Index] = o
		}
	}
	b.eachDelivery(id, st, func(key queue.DeliveryKey, row *deliveryRow) {
		if row.done() || passOver != nil && passOver(key) {
			return
		}
		mine := outcomesOf(row, byIndex)
		if len(mine) == 0 {
			return
		}
		touched++
		done.Outcomes = append(done.Outcomes, mine...)
		done.Destination = row.Destination
		b.pin(st, key, row)
		before := *row
		row.take(st, mine, now)
		if row.ended() {
			b.finishDelivery(st, key, &before, row)
		}
		b.putDelivery(key, row)
	})
	if touched == 0 {
		return false
	}
	if touched > 1 {
		done.Destination = ""
	}
	history, err := b.encodeAttempt(&done)
	b.fail(err)
	b.addAttempt(id, st, history)
	return true
}

// outcomesOf picks the outcomes for recipients of the delivery that have not ended.
func outcomesOf(row *deliveryRow, outcomes map[int]queue.Outcome) []queue.Outcome {
	var mine []queue.Outcome
	for _, r := range row.Recipients {
		if o, ok := outcomes[r.Index]; ok && !r.Result.Ended() {
			mine = append(mine, o)
		}
	}
	return mine
}

// finishDelivery makes a delivery done that was as before says.
func (b *batch) finishDelivery(st *state, key queue.DeliveryKey, before, row *deliveryRow) {
	if !st.held {
		b.unschedule(st, key, before)
	}
	if before.State == queue.Queued {
		st.untried--
	}
	row.State = queue.Done
	st.open--
	b.count(row.Destination, -1)
}
