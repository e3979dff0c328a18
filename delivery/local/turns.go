package local

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Turns lets those who want to one place follow each other. POSIX locks cannot:
// they belong to the process and go when any descriptor of the file is closed.
type Turns[Place comparable] struct {
	mu     sync.Mutex
	queues map[Place]*turn
}

// Turn says how to wait for one.
type Turn struct {
	// Room is how many may be at the place at once.
	Room int
	// Wait bounds the wait.
	Wait time.Duration
	// Stuck is the time in which somebody must have gone in or come out. Otherwise who
	// waits is sent away, and who comes too: what is stuck at one place, by its owner's
	// doing perhaps, is to hold up nobody who wants to another.
	Stuck time.Duration
}

// turn is the state of one place.
type turn struct {
	inside chan struct{}
	users  int // there or waiting
	moved  time.Time
}

// Enter waits for a turn at a place.
func (t *Turns[Place]) Enter(ctx context.Context, place Place, how Turn) (leave func(), err error) {
	q := t.join(place, how.Room)
	began := time.Now()
	for {
		left := min(how.Wait-time.Since(began), how.Stuck-t.still(q))
		in, err := q.enter(ctx, left)
		switch {
		case in:
			t.move(q)
			return func() { t.move(q); <-q.inside; t.part(place, q) }, nil
		case err == nil && left <= 0:
			err = fmt.Errorf("other deliveries have been under way for %v", t.still(q).Round(time.Second))
		}
		if err != nil {
			t.part(place, q)
			return nil, err
		}
	}
}

// enter goes in if there is room before the time is over.
func (q *turn) enter(ctx context.Context, most time.Duration) (in bool, err error) {
	select {
	case q.inside <- struct{}{}:
		return true, nil
	default:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case q.inside <- struct{}{}:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (t *Turns[Place]) join(place Place, room int) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.queues == nil {
		t.queues = make(map[Place]*turn)
	}
	q := t.queues[place]
	if q == nil {
		q = &turn{inside: make(chan struct{}, room), moved: time.Now()}
		t.queues[place] = q
	}
	q.users++
	return q
}

func (t *Turns[Place]) part(place Place, q *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(t.queues, place)
	}
}

// still tells for how long nobody has gone in or come out.
func (t *Turns[Place]) still(q *turn) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(q.moved)
}

func (t *Turns[Place]) move(q *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q.moved = time.Now()
}
