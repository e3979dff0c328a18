package schedule

import (
	"context"
	"time"

	"postrider/queue"
)

// judge takes in what an attempt says about its site.
func (s *Scheduler) judge(a *attempt, v Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.totals.Attempts++
	switch v.Health {
	case Good:
		s.good(a.site, now)
	case Unreachable:
		s.unreachable(a.site, now, v.Reason)
	}
}

// good counts a success; the first after a suspension ends the probing.
func (s *Scheduler) good(st *site, now time.Time) {
	st.answered = true
	if st.probing() {
		s.recover(st, now)
	}
	st.success(s.highest(st))
}

// recover forgets the failures of a site that answers again.
func (s *Scheduler) recover(st *site, now time.Time) {
	st.failures, st.until, st.reason = 0, time.Time{}, ""
	s.reconsider(st, now)
	s.mark(st, st.names(), suspensionMark{})
	s.log.Info("site answers again", "site", st.name)
}

// unreachable counts a failure. A dead site is suspended if anything waits that
// would otherwise be tried in vain; a lone message has its own backoff, and needs
// none. Attempts that fail while the site is suspended began before, and tell
// nothing new.
func (s *Scheduler) unreachable(st *site, now time.Time, reason string) {
	if st.suspended(now) {
		return
	}
	dead := st.failure() || st.probing()
	if dead && st.backed(now) {
		s.suspend(st, now, reason)
	}
}

// suspend keeps a dead site from being tried for longer each time. It will be
// probed by one attempt.
func (s *Scheduler) suspend(st *site, now time.Time, reason string) {
	st.failures++
	st.until, st.reason = now.Add(suspension(st.failures, s.opt.Random)), reason
	st.restart(probeLimit)
	names := st.names()
	var unused []queue.Lease
	for d := range st.destinations {
		unused = append(unused, s.unload(d)...)
		s.consider(d, now)
	}
	s.giveBack(unused)
	s.mark(st, names, suspensionMark{until: st.until, reason: reason, failures: st.failures})
	s.log.Warn("site suspended", "site", st.name, "until", st.until, "failures", st.failures, "reason", reason)
}

// inherit gives a site that has just been loaded the failures its destinations had
// when the scheduler last ran, and a destination that comes to a suspended site
// the suspension.
func (s *Scheduler) inherit(st *site, d *destination, now time.Time) {
	switch {
	case st.suspended(now):
		s.giveBack(s.unload(d))
		s.mark(st, []string{d.Name}, suspensionMark{until: st.until, reason: st.reason, failures: st.failures})
	case d.Failures > 0 && st.answered && !st.probing():
		s.mark(st, []string{d.Name}, suspensionMark{})
	case d.Failures > st.failures && !st.answered:
		st.failures, st.reason = d.Failures, d.Reason
		st.restart(probeLimit)
	}
}

// pause keeps one destination from being tried, if its verdict asks for that. What
// is tried after it starts small.
func (s *Scheduler) pause(a *attempt, destination string, v Verdict) {
	if mark := s.pauseNow(a.dest, v); mark != nil {
		// The store must know before the attempt has ended and the destination
		// may be put out of memory.
		s.write(destination, *mark)
	}
}

func (s *Scheduler) pauseNow(d *destination, v Verdict) *suspensionMark {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	until := now.Add(v.RetryAfter)
	if v.RetryAfter <= 0 || !until.After(d.pause) {
		return nil
	}
	d.pause = until
	if !d.site.local {
		d.site.restart(probeLimit)
	}
	s.giveBack(s.unload(d))
	s.consider(d, now)
	return &suspensionMark{until: until, reason: v.Reason, failures: d.Failures}
}

// giveBack releases leases in the background.
func (s *Scheduler) giveBack(leases []queue.Lease) {
	if len(leases) > 0 {
		s.work.Go(func() { s.release(context.Background(), leases) })
	}
}

// suspensionMark is what the store keeps about a suspension; the zero value says
// that there is none.
type suspensionMark struct {
	until    time.Time
	reason   string
	failures int
}

// writers bounds how many goroutines write to the store for one purpose; together
// they share its commits.
const writers = 16

// mark notes a site's suspension, or that there is none, with its destinations, in
// the background and after what was to be noted before, unless it is overtaken.
func (s *Scheduler) mark(st *site, names []string, m suspensionMark) {
	if len(names) == 0 {
		return
	}
	before, done := st.marked, make(chan struct{})
	st.marked = done
	s.work.Go(func() {
		defer close(done)
		if before != nil {
			<-before
		}
		each(names, writers, func(name string) {
			if s.stands(st, m) {
				s.write(name, m)
			}
		})
	})
}

// stands reports whether the mark still tells the site's state.
func (s *Scheduler) stands(st *site, m suspensionMark) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return st.until.Equal(m.until) && st.failures == m.failures
}

// write notes a suspension with one destination. One that is not noted is not seen
// by administrators, and forgotten when the process ends; nothing else depends on it.
// What an administrator said stands.
func (s *Scheduler) write(name string, m suspensionMark) {
	sum, err := s.summary(context.Background(), name)
	if err == nil && sum.ByHand(time.Now()) {
		return
	}
	if err == nil {
		err = s.store.Suspend(context.Background(), name, m.until, m.reason, m.failures)
	}
	if isFatal(err) {
		s.fail(err)
	} else if err != nil {
		s.log.Error("suspension not noted", "destination", name, "error", err)
	}
}
