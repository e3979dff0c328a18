package schedule

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"postrider/queue"
)

// statusExpired is "delivery time expired" (RFC 3463 §3.5), of the class that says
// why it came to that: the trouble was never permanent.
const statusExpired = "4.4.7"

// outcomes makes the record of an attempt: temporary outcomes of a message whose
// time is up become failures, and it is decided what the sender is to be told and
// when to try again.
func (s *Scheduler) outcomes(w *queue.Work, v Verdict, ended time.Time, stopped bool) queue.Record {
	s.mu.Lock()
	retry := s.limits.Retry
	s.mu.Unlock()
	rec := queue.Record{Now: ended, Attempt: v.Attempt, Uncounted: v.Uncounted, Move: v.Move}
	rec.Attempt.Outcomes = slices.Clone(v.Attempt.Outcomes)
	rec.Added = endedAdded(w.Message, v.Added)
	expired := !v.Uncounted && !ended.Before(w.Message.Expires)
	for i := range rec.Attempt.Outcomes {
		o := &rec.Attempt.Outcomes[i]
		if expired && o.Result == queue.Temporary {
			*o = expire(w.Message, o.Index, lastError(o.Remote, o.Reply))
		}
		o.Owed = owed(w.Message, *o) && !handedOn(w.Message, *o, rec.Added)
	}
	switch {
	case !v.Uncounted:
		rec.Next = Next(retry, w.Delivery.Attempts+1, ended, s.opt.Random)
	case stopped:
		rec.Next = w.Delivery.Due
	default:
		// Nothing was tried, and nothing says that it will be different in a
		// moment: do not spin.
		rec.Next = Next(retry, 1, ended, s.opt.Random)
	}
	return rec
}

// expire is the outcome of a recipient whose time is up.
func expire(m *queue.Message, index int, last string) queue.Outcome {
	reply := "delivery time expired after " + span(m.Expires.Sub(m.Arrival))
	if last != "" {
		reply += "; last error: " + last
	}
	return queue.Outcome{Index: index, Result: queue.Failed, Status: statusExpired, Reply: reply}
}

// lastError puts into words who said what.
func lastError(remote, reply string) string {
	if remote == "" || reply == "" {
		return reply
	}
	return remote + " said: " + reply
}

// owed reports whether the sender is to be told of an outcome (RFC 3461 §4.1). A
// report that fails is owed too: the reporter decides what becomes of it.
func owed(m *queue.Message, o queue.Outcome) bool {
	return o.Index >= 0 && o.Index < len(m.Recipients) && owedFor(m.Kind, m.Recipients[o.Index].Notify, o)
}

func owedFor(kind queue.Kind, notify queue.Notify, o queue.Outcome) bool {
	switch kind {
	case queue.PostmasterCopy:
		return false
	case queue.Report:
		return o.Result == queue.Failed
	}
	switch o.Result {
	case queue.Failed:
		return notify.OnFailure()
	case queue.Relayed, queue.Expanded, queue.Merged:
		return notify.OnSuccess()
	case queue.Delivered:
		// A host that knows RFC 3461 has taken over the duty to report (§5.2.2).
		return notify.OnSuccess() && o.Remote == ""
	}
	return false
}

// span writes a lifetime for people.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d.Round(day)/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d.Round(time.Hour)/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d.Round(time.Minute)/time.Minute)
	}
	return fmt.Sprintf("%d seconds", d.Round(time.Second)/time.Second)
}

// report logs and counts the outcomes of an attempt.
func (s *Scheduler) report(w *queue.Work, v Verdict, rec queue.Record) {
	attempts := w.Delivery.Attempts
	if !v.Uncounted {
		attempts++
	}
	for i, o := range rec.Attempt.Outcomes {
		expired := o.Result == queue.Failed && v.Attempt.Outcomes[i].Result == queue.Temporary
		s.tell(telling{w.Message, recipient(w.Message, o.Index), o, expired, rec.Now, rec.Attempt, attempts})
	}
	for _, x := range rec.Added {
		if x.Outcome != nil {
			s.tell(telling{w.Message, x.Recipient, *x.Outcome, false, rec.Now, rec.Attempt, attempts})
		}
	}
}

// telling is what there is to tell about one outcome.
type telling struct {
	message   *queue.Message
	recipient queue.Recipient
	outcome   queue.Outcome
	expired   bool
	now       time.Time
	attempt   queue.Attempt
	attempts  int
}

// tell logs and counts one outcome.
func (s *Scheduler) tell(t telling) {
	status := s.count(t.outcome, t.expired)
	if status == "" {
		return
	}
	attrs := []slog.Attr{
		slog.String("id", t.message.ID.String()),
		slog.String("from", sender(t.message.ReversePathFor(t.recipient))),
		slog.String("to", t.recipient.Address.String()),
	}
	if len(t.recipient.Via) > 0 {
		attrs = append(attrs, slog.String("orig_to", t.recipient.Via[0].String()))
	}
	s.log.LogAttrs(context.Background(), slog.LevelInfo, "delivery", append(attrs,
		slog.String("destination", t.attempt.Destination),
		slog.String("host", host(t.outcome, t.attempt.Tries)),
		slog.String("status", status),
		slog.String("dsn", t.outcome.Status),
		slog.Duration("delay", t.now.Sub(t.message.Arrival)),
		slog.Int("attempts", t.attempts),
		slog.String("reply", t.outcome.Reply))...)
}

// count adds an outcome to the totals and names it as log lines do; "" for one
// that says nothing.
func (s *Scheduler) count(o queue.Outcome, expired bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case expired:
		s.totals.Expired++
		return "expired"
	case o.Result == queue.Failed:
		s.totals.Failed++
		return "bounced"
	case o.Result == queue.Delivered, o.Result == queue.Relayed:
		s.totals.Delivered++
		return "sent"
	case o.Result == queue.Temporary:
		s.totals.Deferred++
		return "deferred"
	case o.Result == queue.Expanded, o.Result == queue.Merged:
		s.totals.Expanded++
		return o.Result.String()
	}
	return ""
}

func recipient(m *queue.Message, index int) queue.Recipient {
	if index < 0 || index >= len(m.Recipients) {
		return queue.Recipient{}
	}
	return m.Recipients[index]
}

// host is who said the reply, or else who was tried last.
func host(o queue.Outcome, tries []queue.Try) string {
	if o.Remote != "" || len(tries) == 0 {
		return o.Remote
	}
	last := tries[len(tries)-1]
	return cmp.Or(last.Host, last.Address)
}
