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
	// to is who is told, null for nobody; owner says that it is a list's owner and
	// not the sender.
	to    address.Address
	owner bool
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
			s := standing{recipient: e.Message.Recipients[r.Index], state: r, lastAttempt: delivery.LastAttempt}
			s.to = b.complete(e.Message.ReversePathOf(r.Index))
			s.owner = !s.to.Equal(b.complete(e.Message.Envelope.ReversePath))
			d.add(s)
		}
	}
	return d
}

// complete gives a reverse-path its domain.
func (b *Reporter) complete(a address.Address) address.Address {
	if a.Domain == "" && !a.IsNull() {
		a.Domain = b.o.Origin
	}
	return a
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
	case s.passed() && notify.OnSuccess():
		d.passed = append(d.passed, s)
	default:
		d.unwanted = append(d.unwanted, s)
	}
}

// passed tells whether all that this host had to do for the recipient is done.
func (s standing) passed() bool {
	switch s.state.Result {
	case queue.Delivered, queue.Relayed, queue.Expanded, queue.Merged:
		return true
	}
	return false
}

// party is somebody who is told, with the recipients that concern it: the sender, or
// the owner of a list for its members.
type party struct {
	to                      address.Address
	owner                   bool
	failed, passed, waiting []standing
}

// parties groups the recipients by who is told of them, in the order of the first.
func (d *due) parties() []*party {
	var all []*party
	of := func(s standing) *party {
		for _, p := range all {
			if p.to.Equal(s.to) {
				return p
			}
		}
		p := &party{to: s.to, owner: s.owner}
		all = append(all, p)
		return p
	}
	for _, s := range d.failed {
		p := of(s)
		p.failed = append(p.failed, s)
	}
	for _, s := range d.passed {
		p := of(s)
		p.passed = append(p.passed, s)
	}
	for _, s := range d.waiting {
		p := of(s)
		p.waiting = append(p.waiting, s)
	}
	return all
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
