package schedule

import (
	"context"
	"slices"
	"time"

	"postrider/queue"
)

// expired gives the outcomes of recipients whose time is up. What is being tried
// ends with its attempt. What is due and may be tried is left to a last attempt,
// so that mail which could not be tried in time, because this host was off, is not
// lost untried. What is held waits for the administrator.
func (k *agendaKeeper) expired(ctx context.Context, e *queue.Entry, now time.Time) (outcomes []queue.Outcome, held bool, err error) {
	for _, d := range e.Deliveries {
		switch d.State {
		case queue.Held:
			held = true
			continue
		case queue.Active, queue.Done:
			continue
		}
		sum, err := k.summary(ctx, d.Destination)
		if err != nil {
			return nil, false, err
		}
		if !d.Due.After(now) && !sum.Suspended.After(now) {
			continue
		}
		for _, r := range d.Recipients {
			if r.Result.Ended() {
				continue
			}
			last := lastError(r.Remote, r.Reply)
			if last == "" {
				last = sum.Reason
			}
			o := expire(e.Message, r.Index, last)
			o.Owed = owed(e.Message, o)
			outcomes = append(outcomes, o)
		}
	}
	return outcomes, held, nil
}

// conclude records what expired and tells of it.
func (k *agendaKeeper) conclude(ctx context.Context, e *queue.Entry, now time.Time, outcomes []queue.Outcome) error {
	if err := k.store.Conclude(ctx, e.Message.ID, now, "expired", outcomes); err != nil {
		return err
	}
	for _, o := range outcomes {
		d := deliveryOf(e, o.Index)
		k.tell(telling{e.Message, recipient(e.Message, o.Index), o, true, now, queue.Attempt{Destination: d.Destination}, d.Attempts})
	}
	return nil
}

func deliveryOf(e *queue.Entry, index int) queue.Delivery {
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if r.Index == index {
				return d
			}
		}
	}
	return queue.Delivery{}
}

// owesReport reports whether the sender has yet to be told of an outcome.
func owesReport(e *queue.Entry) bool {
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if r.Owed {
				return true
			}
		}
	}
	return false
}

func noticeDue(e *queue.Entry, now time.Time) bool {
	at := e.Message.NoticeAt
	return !e.Notified && !at.IsZero() && !at.After(now)
}

func isOwed(o queue.Outcome) bool { return o.Owed }

func anyOwed(r queue.Record) bool {
	return slices.ContainsFunc(r.Attempt.Outcomes, isOwed) ||
		slices.ContainsFunc(r.Added, func(a queue.Added) bool { return a.Outcome != nil && isOwed(*a.Outcome) })
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
