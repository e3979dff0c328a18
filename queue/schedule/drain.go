package schedule

import (
	"context"
	"errors"
	"time"

	"postrider/queue"
)

// drain stops attempts that may be stopped, gives leases back and waits for the
// rest.
func (s *Scheduler) drain(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	unused := s.stopAttempts()
	s.release(ctx, unused)
	if s.opt.DrainTimeout > 0 {
		defer time.AfterFunc(s.opt.DrainTimeout, s.abandon).Stop()
	}
	s.work.Wait()
}

// stopAttempts ends all that has not begun and all that need not finish. It
// returns the leases not used.
func (s *Scheduler) stopAttempts() (unused []queue.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	for a := range s.attempts {
		a.stop(s.fatal != nil)
	}
	for _, d := range s.destinations {
		unused = append(unused, s.unload(d)...)
	}
	return unused
}

// abandon cancels even what is in transfer, and gives up on outcomes that the store
// does not take.
func (s *Scheduler) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.attempts {
		a.stop(true)
	}
	close(s.hurry)
}

// leaseStep is how many leases one call to the store names.
const leaseStep = 1000

// release gives leases back. One that cannot be given back ends by itself.
func (s *Scheduler) release(ctx context.Context, leases []queue.Lease) {
	s.inSteps(ctx, "leases not released: they will run out", leases, s.store.Release)
}

// renew prolongs all leases held at every third of their time.
func (s *Scheduler) renew(ctx context.Context) {
	ticker := time.NewTicker(s.opt.Lease / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			until := now.Add(s.opt.Lease)
			s.inSteps(ctx, "leases not renewed: will try again", s.leases(), func(ctx context.Context, l ...queue.Lease) error {
				return s.store.Renew(ctx, until, l...)
			})
		}
	}
}

// leases lists all leases held.
func (s *Scheduler) leases() []queue.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	held := make([]queue.Lease, 0, s.waiting+len(s.attempts))
	for a := range s.attempts {
		held = append(held, a.lease)
	}
	for _, d := range s.destinations {
		held = d.backlog.appendTo(held)
	}
	return held
}

// inSteps has fn deal with leases, some at a time.
func (s *Scheduler) inSteps(ctx context.Context, trouble string, leases []queue.Lease, fn func(context.Context, ...queue.Lease) error) {
	for len(leases) > 0 {
		n := min(len(leases), leaseStep)
		err := fn(ctx, leases[:n]...)
		if isFatal(err) {
			s.fail(err)
			return
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn(trouble, "leases", n, "error", err)
		}
		leases = leases[n:]
	}
}
