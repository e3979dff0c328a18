package schedule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"postrider/queue"
)

// Scheduler attempts what is due. Its methods may be called concurrently; Run is
// called once.
type Scheduler struct {
	opt   Options
	store queue.Store
	agent Agent
	log   *slog.Logger

	inbox  inbox
	news   news
	wake   chan struct{} // the loop has something to do
	agenda chan struct{} // the agenda may have something to do

	next   chan *attempt  // to workers that wait for one
	work   sync.WaitGroup // attempts, claims, look-ups, everything that Run waits for
	cancel context.CancelCauseFunc
	hurry  chan struct{} // closed when outcomes are no longer waited for

	mu       sync.Mutex
	limits   Limits
	began    time.Time // zero before Run
	draining bool
	fatal    error

	settled      fifo[*attempt] // have ended, and their destinations are to be looked at
	destinations map[string]*destination
	wakes        wakes
	lookups      fifo[*destination] // waiting for their site
	wanting      fifo[*destination] // waiting to be claimed from
	looking      int                // look-ups under way
	claiming     int                // claims under way
	claimed      int                // leases that claims under way may yield
	waiting      int                // leases waiting
	holders      int                // destinations with leases waiting

	sites    map[string]*site
	rings    [ringCount]fifo[*site]
	turn     ring
	active   int // attempts under way, local ones apart
	started  int // attempts started, until the ramp is over
	ramping  bool
	ramped   time.Time // when sites were last looked at for it
	attempts map[*attempt]struct{}
	totals   Totals

	loader loader
}

// New makes a scheduler; Run sets it going.
func New(opt Options) *Scheduler {
	opt = opt.withDefaults()
	return &Scheduler{
		opt: opt, store: opt.Store, agent: opt.Agent, log: opt.Logger, limits: opt.limits(),
		wake: make(chan struct{}, 1), agenda: make(chan struct{}, 1), hurry: make(chan struct{}),
		next:         make(chan *attempt),
		destinations: make(map[string]*destination),
		sites:        make(map[string]*site),
		attempts:     make(map[*attempt]struct{}),
	}
}

// Run schedules until ctx ends or storage fails, and then drains: nothing new is
// attempted, leases not used are released, attempts are cancelled unless they are in
// transfer (see InTransfer). It returns when every attempt has ended and its
// outcomes are recorded; nil if ctx ended it, the storage's error otherwise.
func (s *Scheduler) Run(ctx context.Context) error {
	ctx, s.cancel = context.WithCancelCause(ctx)
	defer s.cancel(nil)
	defer s.store.Watch(s.notice)()
	s.begin()

	renewing, stopRenewing := context.WithCancel(context.WithoutCancel(ctx))
	var renewal sync.WaitGroup
	renewal.Go(func() { s.renew(renewing) })
	s.work.Go(func() { s.keepAgenda(ctx) })
	s.work.Go(func() { s.forget(ctx) })

	s.loop(ctx)
	s.drain(ctx)
	stopRenewing()
	renewal.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fatal
}

func (s *Scheduler) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.began = time.Now()
	s.ramping = s.opt.Ramp > 0
}

// loop does what is to be done, over and over, until ctx ends.
func (s *Scheduler) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.store.Failed():
			s.fail(queue.ErrFailed)
		case <-s.wake:
		case <-timer.C:
		}
		timer.Reset(time.Until(s.step(ctx)))
	}
}

// step does all that can be done now and tells when there is more.
func (s *Scheduler) step(ctx context.Context) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, sum := range s.inbox.take() {
		s.update(sum, now)
	}
	s.settle(now)
	for d := s.wakes.popDue(now); d != nil; d = s.wakes.popDue(now) {
		s.consider(d, now)
	}
	s.load(ctx, now)
	s.lookUp(ctx)
	s.dispatch(ctx, now)
	s.claim(ctx, now)
	return s.nextStep(now)
}

// nextStep is when the loop has something to do without being told.
func (s *Scheduler) nextStep(now time.Time) time.Time {
	next := s.loader.next
	if first := s.wakes.first(); !first.IsZero() && first.Before(next) {
		next = first
	}
	if tick := now.Add(rampTick); s.ramping && tick.Before(next) {
		next = tick
	}
	return next
}

// signal has the loop look around.
func (s *Scheduler) signal() { notify(s.wake) }

// notify makes a receive from c succeed, without waiting.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// fail ends Run because of an error that nothing can be done about.
func (s *Scheduler) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fatal != nil {
		return
	}
	s.fatal = fmt.Errorf("run scheduler: %w", err)
	s.log.Error("scheduler ends: storage has failed", "error", err)
	for a := range s.attempts {
		a.stop(true)
	}
	s.cancel(s.fatal)
}

// isFatal reports whether a store's error means that nothing can be recorded any
// more.
func isFatal(err error) bool {
	return errors.Is(err, queue.ErrFailed) || errors.Is(err, queue.ErrClosed)
}

// Reconfigure changes the limits. Attempts under way are not disturbed.
func (s *Scheduler) Reconfigure(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l.withDefaults()
	for _, st := range s.sites {
		if st.local {
			st.restart(s.limits.MaxLocal)
		}
		st.limit = min(st.limit, s.highest(st))
		s.enlist(st, time.Now())
	}
	s.signal()
}
