package schedule

import (
	"slices"

	"postrider/queue"
)

// statusTooMany is "too many recipients" (RFC 3463 §3.6).
const statusTooMany = "4.5.3"

// endedAdded makes the recipients to be recorded of those that the agent gave. The same
// rules say what the sender is told of them; an outcome that does not end one is not
// recorded, for the recipient is tried by itself.
func endedAdded(m *queue.Message, given []queue.Added) []queue.Added {
	list := slices.Clone(given)
	for i := range list {
		a := &list[i]
		if a.Outcome == nil {
			continue
		}
		o := *a.Outcome
		o.Owed = owedFor(m.Kind, a.Recipient.Notify, o)
		a.Outcome = &o
		if !o.Result.Ended() {
			a.Outcome = nil
		}
	}
	return list
}

// handedOn tells whether the success of an expanded recipient will be reported as
// that of the one address it stands for, which has its NOTIFY (RFC 3461 §5.2.7.2).
// One that the message had before reports for itself alone.
func handedOn(m *queue.Message, o queue.Outcome, added []queue.Added) bool {
	if o.Result != queue.Expanded {
		return false
	}
	parent := recipient(m, o.Index)
	if !parent.Notify.OnSuccess() {
		return false
	}
	return slices.ContainsFunc(added, func(a queue.Added) bool {
		return a.Recipient.Notify.OnSuccess() && slices.ContainsFunc(a.Recipient.Via, parent.Address.Equal) && !leftOut(m, a)
	})
}

// leftOut tells whether the message has the recipient.
func leftOut(m *queue.Message, a queue.Added) bool {
	return a.Unique && slices.ContainsFunc(m.Recipients, func(r queue.Recipient) bool {
		return r.Target == a.Recipient.Target && r.Address.Equal(a.Recipient.Address)
	})
}

// withoutAdded is the record of an attempt that the store has no room for all
// recipients of: those that others were to take the place of are deferred, for an
// administrator to make a list smaller meanwhile.
func withoutAdded(rec queue.Record) queue.Record {
	rec.Added, rec.Move = nil, nil
	rec.Attempt.Outcomes = slices.Clone(rec.Attempt.Outcomes)
	for i, o := range rec.Attempt.Outcomes {
		if o.Result == queue.Expanded || o.Result == queue.Merged {
			rec.Attempt.Outcomes[i] = queue.Outcome{Index: o.Index, Result: queue.Temporary, Status: statusTooMany,
				Reply: "the message would get too many recipients; make the list smaller, or divide it"}
		}
	}
	return rec
}
