package local

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// gates lets the deliveries of this process to one file take turns. POSIX locks
// cannot: they belong to the process and go when any descriptor of the file is
// closed.
type gates struct {
	mu   sync.Mutex
	open map[string]*gate
}

type gate struct {
	turn  chan struct{} // holds one token while free
	users int           // holder and waiters
}

// enter waits for the caller's turn at the path.
func (g *gates) enter(ctx context.Context, path string, wait time.Duration) (leave func(), err error) {
	gt := g.join(path)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-gt.turn:
		return func() { gt.turn <- struct{}{}; g.part(path, gt) }, nil
	case <-timer.C:
		err = temporary("4.2.0", fmt.Sprintf("mailbox %s: other deliveries were still under way after %v", path, wait))
	case <-ctx.Done():
		err = fmt.Errorf("wait for mailbox %s: %w", path, ctx.Err())
	}
	g.part(path, gt)
	return nil, err
}

func (g *gates) join(path string) *gate {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = make(map[string]*gate)
	}
	gt := g.open[path]
	if gt == nil {
		gt = &gate{turn: make(chan struct{}, 1)}
		gt.turn <- struct{}{}
		g.open[path] = gt
	}
	gt.users++
	return gt
}

func (g *gates) part(path string, gt *gate) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if gt.users--; gt.users == 0 {
		delete(g.open, path)
	}
}
