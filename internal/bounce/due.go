package bounce

import (
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// due is what a message owes now.
type due struct {
	entry *queue.Entry
	now   time.Time
	// failed and passed are owed a report; unwanted ones are marked so, but their
	// sender asked not to be told.
	failed, passed, unwanted []standing
	// waiting are still being tried and may be told of; delayed says that it is
	// time to.
	waiting []standing
	delayed bool
}

// standing is where one recipient stands.
type standing struct {
	recipient   queue.Recipient
	state       queue.DeliveryRecipient
	lastAttempt time.Time
}

// gather sorts the recipients by what they are owed.
func (b *Reporter) gather(e *queue.Entry) *due {
	d := &due{entry: e, now: b.o.Now()}
	notice := e.Message.NoticeAt
	d.delayed = !e.Notified && !notice.IsZero() && !notice.After(d.now)
	for _, delivery := range e.Deliveries {
		for _, r := range delivery.Recipients {
			if r.Index < 0 || r.Index >= len(e.Message.Recipients) {
				continue
			}
			d.add(standing{e.Message.Recipients[r.Index], r, delivery.LastAttempt})
		}
	}
	return d
}

func (d *due) add(s standing) {
	notify := s.recipient.Notify
	switch {
	case !s.state.Result.Ended() && !s.state.Owed:
		if notify.OnDelay() {
			d.waiting = append(d.waiting, s)
		}
	case !s.state.Owed:
	case s.state.Result == queue.Failed && notify.OnFailure():
		d.failed = append(d.failed, s)
	case (s.state.Result == queue.Delivered || s.state.Result == queue.Relayed) && notify.OnSuccess():
		d.passed = append(d.passed, s)
	default:
		d.unwanted = append(d.unwanted, s)
	}
}

// indexes of recipients, as settlements name them.
func indexes(groups ...[]standing) []int {
	var out []int
	for _, g := range groups {
		for _, s := range g {
			out = append(out, s.state.Index)
		}
	}
	return out
}

// isPostmaster compares with the postmaster's address; "postmaster" is that in
// any case (RFC 5321 §4.1.1.3).
func isPostmaster(a, postmaster address.Address) bool {
	return a.Equal(postmaster) ||
		strings.EqualFold(a.Local, "postmaster") && strings.EqualFold(a.Domain, postmaster.Domain)
}
