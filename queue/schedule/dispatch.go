package schedule

import (
	"context"
	"math"
	"time"
)

// ring is a circle of sites that have leases waiting and may start an attempt.
type ring int

// The rings. Sites with nothing under way have their own, and a share of the
// connections that is reserved for them, so that a few busy or slow sites do not
// keep single mails waiting.
const (
	untriedRing ring = iota
	busyRing
	localRing
	ringCount
)

// One connection in reservedShare is kept for sites with nothing under way.
const reservedShare = 8

func ringOf(st *site) ring {
	switch {
	case st.local:
		return localRing
	case st.untried():
		return untriedRing
	}
	return busyRing
}

// mayStart reports whether the site may start an attempt, connections permitting.
func (s *Scheduler) mayStart(st *site, now time.Time) bool {
	limit := min(st.limit, s.highest(st))
	if s.ramping {
		limit = min(limit, s.rampSite(now))
	}
	return st.waiting > 0 && st.active < limit && !st.suspended(now)
}

// enlist puts the site in its ring if it may start an attempt.
func (s *Scheduler) enlist(st *site, now time.Time) {
	if !st.listed && s.mayStart(st, now) {
		st.listed = true
		s.rings[ringOf(st)].push(st)
	}
}

// dispatch starts all attempts that may start.
func (s *Scheduler) dispatch(ctx context.Context, now time.Time) {
	if s.draining || !s.ramp(now) {
		return
	}
	for st := s.nextSite(now); st != nil; st = s.nextSite(now) {
		d := st.turn()
		if d == nil {
			continue
		}
		s.start(ctx, d, st, now)
		st.list(d)
		s.enlist(st, now)
		s.consider(d, now)
		if s.ramping && s.started >= s.rampTotal(now) {
			return
		}
	}
}

// nextSite takes the site whose turn it is out of its ring; nil if none may start
// an attempt now.
func (s *Scheduler) nextSite(now time.Time) *site {
	for {
		r, ok := s.nextRing()
		if !ok {
			return nil
		}
		st, _ := s.rings[r].pop()
		st.listed = false
		if ringOf(st) != r {
			s.enlist(st, now)
			continue
		}
		if s.mayStart(st, now) {
			return st
		}
	}
}

// nextRing is the ring whose turn it is among those that may start something.
func (s *Scheduler) nextRing() (ring, bool) {
	if s.rings[localRing].len() > 0 {
		return localRing, true
	}
	free := s.limits.MaxConnections - s.active
	untried := free > 0 && s.rings[untriedRing].len() > 0
	busy := free > s.limits.MaxConnections/reservedShare && s.rings[busyRing].len() > 0
	switch {
	case untried && busy:
		s.turn = untriedRing + busyRing - s.turn
		return s.turn, true
	case untried:
		return untriedRing, true
	}
	return busyRing, busy
}

// start has the next delivery of d attempted.
func (s *Scheduler) start(ctx context.Context, d *destination, st *site, now time.Time) {
	a := newAttempt(ctx, d.backlog.next(), d, st, now)
	s.attempts[a] = struct{}{}
	if d.backlog.len() == 0 {
		s.holders--
	}
	s.waiting--
	st.waiting--
	d.active++
	st.active++
	if !st.local {
		s.active++
	}
	s.started++
	select {
	case s.next <- a:
	default:
		s.work.Go(func() { s.attempt(ctx, a) })
	}
}

// workerPatience is how long a worker waits for its next attempt. Workers are kept
// because attempts need deep stacks, which new goroutines grow step by step.
const workerPatience = time.Second

// attempt runs one attempt, and then others as long as there are some.
func (s *Scheduler) attempt(ctx context.Context, a *attempt) {
	patience := time.NewTimer(workerPatience)
	defer patience.Stop()
	for {
		s.run(a)
		patience.Reset(workerPatience)
		select {
		case a = <-s.next:
		case <-patience.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// A scheduler that begins does not start everything at once: neighbours and
// resolver are cold, and many sites may be down. What may start begins small and
// doubles every second, so that after rampFor a healthy backlog goes at full speed.
const (
	rampFor      = 10 * time.Second
	rampTick     = 50 * time.Millisecond
	rampSiteSeed = 2
)

// ramp reports whether anything may start now, and ends the ramp in its time. While
// it lasts sites come to be allowed more without an event of their own.
func (s *Scheduler) ramp(now time.Time) bool {
	if !s.ramping {
		return true
	}
	s.ramping = now.Sub(s.began) < rampFor
	if !s.ramping || now.Sub(s.ramped) >= rampTick {
		s.ramped = now
		for _, st := range s.sites {
			s.enlist(st, now)
		}
	}
	return !s.ramping || s.started < s.rampTotal(now)
}

// rampTotal is how many attempts may have started by now.
func (s *Scheduler) rampTotal(now time.Time) int {
	return int(float64(s.opt.Ramp) * math.Exp2(now.Sub(s.began).Seconds()))
}

// rampSite is how many attempts a site may have under way by now.
func (s *Scheduler) rampSite(now time.Time) int {
	return int(rampSiteSeed * math.Exp2(now.Sub(s.began).Seconds()))
}
