package schedule_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

// TestEverythingEnds sends mail through sites that misbehave at random, with
// administrators at work, and wants every message to end, none delivered twice.
func TestEverythingEnds(t *testing.T) {
	store := openStore(t)
	defer store.Close()
	const messages, senders = 1500, 8
	var mu sync.Mutex
	delivered := map[queue.ID]int{}
	under := map[queue.ID]bool{}
	r := run(t, schedule.Options{
		Store: store, Ramp: -1, MaxConnections: 16, Window: 64, MaxDestinations: 12,
		Retry: schedule.Backoff{First: 2 * time.Millisecond, Max: 10 * time.Millisecond},
		Agent: &agent{
			site: func(d string) string { return d[:2] },
			deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
				mu.Lock()
				if under[w.Message.ID] {
					t.Errorf("%s is attempted twice at once", w.Message.ID)
				}
				under[w.Message.ID] = true
				mu.Unlock()
				defer func() {
					mu.Lock()
					delete(under, w.Message.ID)
					mu.Unlock()
				}()
				switch n := rand.IntN(10); {
				case n < 2:
					return greylisted(w)
				case n < 3:
					return refused(w)
				case n < 4:
					return schedule.Verdict{Uncounted: true, Move: map[int]string{0: fmt.Sprintf("d%d.example", rand.IntN(30))}}
				}
				mu.Lock()
				delivered[w.Message.ID]++
				mu.Unlock()
				return sent(w)
			},
		},
	})
	var group sync.WaitGroup
	for s := range senders {
		group.Go(func() {
			for i := range messages / senders {
				if _, err := commit(store, simple(fmt.Sprint(s), fmt.Sprintf("d%d.example", i%30))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		stats, err := store.Stats(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if stats.Messages == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d messages left: %+v", stats.Messages, r.Snapshot())
		}
		r.Kick()
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	for id, n := range delivered {
		if n != 1 {
			t.Errorf("%s was delivered %d times", id, n)
		}
	}
	if snap := r.Snapshot(); len(delivered) != messages/senders*senders || snap.Connections != 0 || snap.Leases != 0 || len(snap.Attempts) != 0 {
		t.Errorf("%d delivered, at the end %+v", len(delivered), snap)
	}
}
