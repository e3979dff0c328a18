package schedule

import (
	"context"
	"time"

	"postrider/queue"
)

// Bounds of what is asked of others at the same time.
const (
	maxLookups = 256
	maxClaims  = 32
)

// siteTTL is how long a destination keeps the site it was found to have.
const siteTTL = 10 * time.Minute

// resolve has the site of d looked up if it is not known, or was long ago. It
// reports whether d has one to go on with.
func (s *Scheduler) resolve(d *destination, now time.Time) bool {
	switch {
	case d.Name == LocalSite:
		s.assign(d, LocalSite, now)
	case !d.resolving && (d.site == nil || now.Sub(d.resolved) > siteTTL):
		d.resolving = true
		s.lookups.push(d)
	}
	return d.site != nil
}

// lookUp starts as many look-ups of sites as may be under way.
func (s *Scheduler) lookUp(ctx context.Context) {
	for s.looking < maxLookups {
		d, ok := s.lookups.pop()
		if !ok {
			return
		}
		s.looking++
		name := d.Name
		s.work.Go(func() {
			s.lookedUp(d, s.agent.Site(ctx, name))
			s.signal()
		})
	}
}

func (s *Scheduler) lookedUp(d *destination, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.looking--
	d.resolving = false
	s.assign(d, name, now)
	s.consider(d, now)
}

// assign makes d one of the named site's destinations.
func (s *Scheduler) assign(d *destination, name string, now time.Time) {
	d.resolved = now
	if d.site != nil && d.site.name == name {
		return
	}
	st := s.sites[name]
	if st == nil {
		st = s.newSite(name)
		s.sites[name] = st
	}
	if old := d.site; old != nil {
		delete(old.destinations, d)
		old.waiting -= d.backlog.len()
		old.touched = now
		s.nextProbe(old, now)
	}
	d.site, d.listed = st, false
	st.destinations[d] = struct{}{}
	st.waiting += d.backlog.len()
	s.inherit(st, d, now)
	st.list(d)
	s.enlist(st, now)
}

func (s *Scheduler) newSite(name string) *site {
	st := &site{name: name, local: name == LocalSite, destinations: make(map[*destination]struct{})}
	st.restart(min(startLimit, s.highest(st)))
	if st.local {
		st.restart(s.highest(st))
	}
	return st
}

// highest is what a site's concurrency may grow to.
func (s *Scheduler) highest(st *site) int {
	if st.local {
		return s.limits.MaxLocal
	}
	return s.limits.MaxPerSite
}

// want puts d in the line of those to be claimed from, if it needs to be.
func (s *Scheduler) want(d *destination, now time.Time) {
	if !d.wanting && s.appetite(d, now) > 0 {
		d.wanting = true
		s.wanting.push(d)
	}
}

// appetite is how many leases d should be given, room permitting. A site that is
// being probed gets one lease in all.
func (s *Scheduler) appetite(d *destination, now time.Time) int {
	st := d.site
	if d.gone || d.claiming || st == nil || !d.claimable(now) {
		return 0
	}
	if !st.probing() {
		return d.appetite(s.share())
	}
	if st.unused() {
		return 1
	}
	return 0
}

// share is what one destination may hold of the window: a quarter, or less when so
// many hold something that they would fill it, and each claim would have to do with
// the room that one attempt leaves.
func (s *Scheduler) share() int {
	return max(1, min(s.opt.Window/4, s.opt.Window/(2*max(1, s.holders))))
}

// claim starts as many claims as may be under way. No claim takes more than half
// of the room that is left, so that there is room for a destination yet to come.
func (s *Scheduler) claim(ctx context.Context, now time.Time) {
	for s.claiming < maxClaims {
		room := s.opt.Window - s.waiting - s.claimed - len(s.attempts)
		if room <= 0 {
			return
		}
		d, ok := s.wanting.pop()
		if !ok {
			return
		}
		d.wanting = false
		if n := min(s.appetite(d, now), (room+1)/2); n > 0 {
			s.claimFrom(ctx, d, n, now)
		}
	}
}

func (s *Scheduler) claimFrom(ctx context.Context, d *destination, n int, now time.Time) {
	if !d.exhausted {
		d.adapt(now, s.share())
	}
	st := d.site
	d.claiming, d.grown = true, false
	d.claimed, d.mark, d.rest = now, d.Due, d.others()
	st.claiming++
	s.claiming++
	s.claimed += n
	ask := queue.Claim{Destination: d.Name, Owner: s.opt.Owner, Now: now, Until: now.Add(s.opt.Lease), Max: n}
	s.work.Go(func() {
		leases, err := s.store.Claim(ctx, ask)
		unused := s.claimedFrom(d, st, n, leases, err)
		s.release(context.WithoutCancel(ctx), unused)
		if isFatal(err) {
			s.fail(err)
		}
		s.signal()
	})
}

// claimedFrom takes in the leases of a claim, unless the site was suspended or a
// drain began meanwhile: then it returns them.
func (s *Scheduler) claimedFrom(d *destination, st *site, n int, leases []queue.Lease, err error) (unused []queue.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	d.claiming = false
	st.claiming--
	s.claiming--
	s.claimed -= n
	defer s.nextProbe(st, now)
	if err != nil {
		s.claimFailed(d, err, now)
		return nil
	}
	d.exhausted = len(leases) < n
	d.rest -= len(leases)
	if s.draining || d.site.suspended(now) || d.pause.After(now) || d.ByHand(now) {
		d.exhausted = false
		s.consider(d, now)
		return leases
	}
	s.hold(d, leases)
	d.site.list(d)
	s.enlist(d.site, now)
	s.consider(d, now)
	return nil
}

// hold puts leases into the window.
func (s *Scheduler) hold(d *destination, leases []queue.Lease) {
	if d.backlog.len() == 0 && len(leases) > 0 {
		s.holders++
	}
	for _, l := range leases {
		d.backlog.add(l)
	}
	d.leased += len(leases)
	d.site.waiting += len(leases)
	s.waiting += len(leases)
}

// unload takes the leases of d that wait out of the window.
func (s *Scheduler) unload(d *destination) []queue.Lease {
	leases := d.backlog.drain()
	if len(leases) == 0 {
		return nil
	}
	s.holders--
	d.leased -= len(leases)
	d.site.waiting -= len(leases)
	s.waiting -= len(leases)
	return leases
}

func (s *Scheduler) claimFailed(d *destination, err error, now time.Time) {
	d.pause = now.Add(recheck)
	s.consider(d, now)
	if !s.draining {
		s.log.Error("deliveries not claimed: will try again", "destination", d.Name, "error", err)
	}
}

// nextProbe has a site that is being probed tried again, if its one lease is gone.
func (s *Scheduler) nextProbe(st *site, now time.Time) {
	if st.probing() && st.unused() {
		s.reconsider(st, now)
	}
}

// reconsider looks at all destinations of a site.
func (s *Scheduler) reconsider(st *site, now time.Time) {
	for d := range st.destinations {
		s.consider(d, now)
	}
}
