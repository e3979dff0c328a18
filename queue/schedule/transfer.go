package schedule

import (
	"context"
	"sync"
	"time"

	"postrider/queue"
)

// attempt is one attempt under way.
type attempt struct {
	lease   queue.Lease
	dest    *destination
	site    *site
	started time.Time
	passed  bool // its place at the site has been given to another

	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex
	transfer int  // depth of InTransfer
	stopped  bool // the scheduler wants it to end
}

type attemptKey struct{}

// newAttempt gives the attempt a context that outlives parent's end: only stop
// ends it.
func newAttempt(parent context.Context, l queue.Lease, d *destination, st *site, now time.Time) *attempt {
	a := &attempt{lease: l, dest: d, site: st, started: now}
	a.ctx, a.cancel = context.WithCancel(context.WithValue(context.WithoutCancel(parent), attemptKey{}, a))
	return a
}

// InTransfer marks the attempt that ctx belongs to as past the point after which
// it must be allowed to finish: the agent calls it right before it sends the end
// of the message, and the function returned once the reply is in. Between the two a
// drain does not cancel ctx, so that a message which the other side may already
// have taken is not sent twice.
//
// A drain may have come first: check ctx.Err() after the call, and do not send the
// end of the message if it is set. Both functions may be called with any context
// and more than once.
func InTransfer(ctx context.Context) (leave func()) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return func() {}
	}
	a.enter()
	return sync.OnceFunc(a.leave)
}

func (a *attempt) enter() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.transfer++
}

func (a *attempt) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.transfer--
	if a.stopped && a.transfer == 0 {
		a.cancel()
	}
}

// stop ends the attempt's context: at once when forced or not in transfer, else
// when the transfer is over.
func (a *attempt) stop(force bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.stopped = true
	if force || a.transfer == 0 {
		a.cancel()
	}
}

// isStopped reports whether the scheduler has told the attempt to end.
func (a *attempt) isStopped() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stopped
}

func (a *attempt) inTransfer() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.transfer > 0
}
