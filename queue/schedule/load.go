package schedule

import (
	"context"
	"sync"
	"time"

	"postrider/queue"
)

// inbox takes the summaries of changed destinations from the store, which must not
// wait for the scheduler.
type inbox struct {
	mu      sync.Mutex
	changed map[string]queue.Destination
}

func (b *inbox) put(sums []queue.Destination) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(map[string]queue.Destination, len(sums))
	}
	for _, sum := range sums {
		b.changed[sum.Name] = sum
	}
}

func (b *inbox) take() map[string]queue.Destination {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed := b.changed
	b.changed = nil
	return changed
}

// notice is called by the store after each commit.
func (s *Scheduler) notice(sums []queue.Destination) {
	s.inbox.put(sums)
	s.signal()
	notify(s.agenda)
}

// Destinations that wake within the horizon are in memory; it is moved on halfway.
const (
	horizon     = 10 * time.Minute
	reloadEvery = horizon / 2
	reloadRetry = time.Second           // after trouble
	reloadSoon  = 50 * time.Millisecond // when there was not room for all
)

// loader keeps the destinations in memory that wake within the horizon.
type loader struct {
	horizon time.Time // every destination that wakes up to here is in memory
	next    time.Time // when to load again
	loading bool
	changed map[string]struct{} // destinations that changed during the load
	partial bool                // there was not room for all
}

// load reads the destinations that wake soon, if it is time to.
func (s *Scheduler) load(ctx context.Context, now time.Time) {
	l := &s.loader
	if l.loading || now.Before(l.next) {
		return
	}
	l.next = now.Add(reloadEvery)
	if l.partial {
		l.next = now.Add(reloadSoon)
		if len(s.destinations)*4 > s.opt.MaxDestinations*3 {
			return
		}
	}
	l.loading, l.partial, l.changed = true, false, make(map[string]struct{})
	l.horizon = now.Add(horizon)
	s.sweepSites(now)
	until := l.horizon
	s.work.Go(func() {
		sums, err := s.store.Waking(ctx, until, s.opt.MaxDestinations)
		s.loaded(sums, err)
		s.signal()
	})
}

// loaded takes in what a load found. What changed in the meantime is newer than
// that, and has been dealt with.
func (s *Scheduler) loaded(sums []queue.Destination, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, now := &s.loader, time.Now()
	changed := l.changed
	l.loading, l.changed = false, nil
	if err != nil {
		l.next = now.Add(reloadRetry)
		if !s.draining {
			s.log.Error("destinations not loaded: will try again", "error", err)
		}
		return
	}
	if len(sums) >= s.opt.MaxDestinations {
		s.curtail(sums[len(sums)-1].Wake(), now)
	}
	for _, sum := range sums {
		if d := s.destinations[sum.Name]; d != nil {
			s.consider(d, now)
		} else if _, newer := changed[sum.Name]; !newer {
			s.update(sum, now)
		}
	}
}

// curtail notes that destinations which wake at the time or later are not all in
// memory.
func (s *Scheduler) curtail(at, now time.Time) {
	l := &s.loader
	l.partial = true
	if at.Before(l.horizon) {
		l.horizon = at
	}
	if soon := now.Add(reloadSoon); soon.Before(l.next) {
		l.next = soon
	}
}

// update takes in a destination's summary.
func (s *Scheduler) update(sum queue.Destination, now time.Time) {
	if s.loader.loading {
		s.loader.changed[sum.Name] = struct{}{}
	}
	d := s.destinations[sum.Name]
	if d == nil {
		if d = s.admit(sum, now); d == nil {
			return
		}
	}
	if sum.Count > d.Count {
		d.grown = true
	}
	d.Destination = sum
	if sum.ByHand(now) {
		s.giveBack(s.unload(d))
	}
	s.consider(d, now)
}

// admit makes room for a destination and puts it in memory; nil if it wakes too
// late, or if there is no room.
func (s *Scheduler) admit(sum queue.Destination, now time.Time) *destination {
	at := sum.Wake()
	if s.tooLate(at) || s.draining {
		return nil
	}
	if len(s.destinations) >= s.opt.MaxDestinations && !s.evict(at, now) {
		s.curtail(at, now)
		return nil
	}
	d := &destination{Destination: sum, quota: firstQuota}
	s.destinations[sum.Name] = d
	return d
}

// evict puts a destination out of memory that wakes later than the time.
func (s *Scheduler) evict(at, now time.Time) bool {
	d := s.wakes.late()
	if d == nil || !d.idle() || !d.wake.After(at) {
		return false
	}
	s.curtail(d.wake, now)
	s.forgetDestination(d, now)
	return true
}

// consider decides what is to be done about a destination, after anything that
// concerns it has changed.
func (s *Scheduler) consider(d *destination, now time.Time) {
	if d.gone || s.draining {
		return
	}
	at := d.next()
	s.wakes.remove(d)
	switch {
	case s.tooLate(at):
		if d.idle() {
			s.forgetDestination(d, now)
		}
	case at.After(now):
		s.wakes.set(d, at)
	case s.resolve(d, now):
		s.want(d, now)
	}
}

// tooLate reports whether a destination that wakes at the time need not be in
// memory.
func (s *Scheduler) tooLate(at time.Time) bool {
	return at.IsZero() || at.After(s.loader.horizon)
}

// forgetDestination puts d out of memory.
func (s *Scheduler) forgetDestination(d *destination, now time.Time) {
	d.gone = true
	s.wakes.remove(d)
	delete(s.destinations, d.Name)
	if d.site != nil {
		delete(d.site.destinations, d)
		d.site.touched = now
	}
}

// siteMemory is how long a site without mail is remembered.
const siteMemory = time.Hour

// sweepSites forgets sites that have had no mail for long.
func (s *Scheduler) sweepSites(now time.Time) {
	for name, st := range s.sites {
		if len(st.destinations) == 0 && st.active == 0 && now.Sub(st.touched) > siteMemory && !st.suspended(now) {
			delete(s.sites, name)
		}
	}
}
