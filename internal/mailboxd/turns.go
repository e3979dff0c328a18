package mailboxd

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// turns makes the deliveries to one user's mailbox follow each other: they would
// wait for each other's locks, and a user who stops them holds up no other. Of a
// user's commands, which may take long, a few run at once.
type turns struct {
	mu   sync.Mutex
	free map[turn]chan struct{} // has room for who may enter
}

type turn struct {
	uid     int
	command bool
}

func (t *turns) enter(ctx context.Context, who turn) (leave func(), err error) {
	room := t.of(who)
	timer := time.NewTimer(turnTime)
	defer timer.Stop()
	select {
	case room <- struct{}{}:
		return func() { <-room }, nil
	case <-timer.C:
		return nil, fmt.Errorf("others were still under way after %v", turnTime)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *turns) of(who turn) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == nil {
		t.free = make(map[turn]chan struct{})
	}
	if t.free[who] == nil {
		room := 1
		if who.command {
			room = maxCommands
		}
		t.free[who] = make(chan struct{}, room)
	}
	return t.free[who]
}
