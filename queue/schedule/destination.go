package schedule

import (
	"time"

	"postrider/queue"
)

// destination is a destination with mail that is due now or soon.
type destination struct {
	queue.Destination
	site     *site
	resolved time.Time // when the site was looked up
	pause    time.Time // not tried before: Verdict.RetryAfter, or the store's trouble

	backlog backlog // leases waiting
	active  int     // attempts under way
	leased  int     // leases held, those of attempts included

	resolving bool
	claiming  bool
	wanting   bool // stands in the line of those to be claimed from
	listed    bool // stands in the ring of its site
	gone      bool // no longer in memory

	// What the last claim left: it yielded all there was (exhausted), with rest
	// deliveries not due, held or leased elsewhere, when the summary said mark.
	exhausted bool
	rest      int
	mark      time.Time
	claimed   time.Time // when the last claim began
	grown     bool      // mail arrived since

	// quota is how many leases to hold: more while they are used up quickly.
	quota int

	wake      time.Time
	heapIndex int
	inHeap    bool
}

// Bounds of a destination's quota, and the pace that changes it.
const (
	firstQuota = 32
	quickClaim = 250 * time.Millisecond
	slowClaim  = 2 * time.Second
)

// recheck is when a destination is claimed from again although its summary gives
// no reason to: an earlier due time of a leased delivery may hide that of another.
const recheck = 15 * time.Second

// others counts deliveries that are not leased to us.
func (d *destination) others() int { return d.Count - d.leased }

// unchanged reports whether a claim would only repeat what the last one found.
func (d *destination) unchanged() bool {
	return d.others() <= 0 || d.exhausted && d.others() <= d.rest && d.Due.Equal(d.mark)
}

// next is when the destination is to be looked at; zero for not at all.
func (d *destination) next() time.Time {
	at := d.Wake()
	if at.IsZero() {
		return at
	}
	at = later(at, d.pause)
	if d.site != nil {
		at = later(at, d.site.until)
	}
	if d.unchanged() {
		at = later(at, d.claimed.Add(recheck))
	}
	return at
}

// claimable reports whether a claim now may yield something.
func (d *destination) claimable(now time.Time) bool {
	at := d.next()
	return !at.IsZero() && !at.After(now)
}

// idle reports whether nothing of ours depends on it.
func (d *destination) idle() bool {
	return d.backlog.len() == 0 && d.active == 0 && !d.resolving && !d.claiming
}

// appetite is how many more leases the destination should hold, at most limit in
// all. It is refilled at 60 %; newly arrived mail is let in beyond, so that it does
// not wait until an older batch has gone.
func (d *destination) appetite(limit int) int {
	have, quota := d.backlog.len(), min(d.quota, limit)
	if have*5 <= quota*3 {
		return quota - have
	}
	if d.grown {
		return max(0, min(quota/4+1, 2*quota-have, limit-have))
	}
	return 0
}

// adapt sets the quota by the time since the last claim.
func (d *destination) adapt(now time.Time, limit int) {
	switch pace := now.Sub(d.claimed); {
	case pace < quickClaim:
		d.quota = min(2*d.quota, max(limit, firstQuota))
	case pace > slowClaim:
		d.quota = max(d.quota/2, firstQuota)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
