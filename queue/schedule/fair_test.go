package schedule_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

// order has an agent that notes the order of attempts by sender and destination,
// each taking a second.
func order(j *journal) *agent {
	return &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
		j.add(fmt.Sprintf("%d %s", w.Lease.Sender, w.Delivery.Destination))
		time.Sleep(time.Second)
		return sent(w)
	}}
}

func TestOneMailAmongAHundredThousand(t *testing.T) {
	for _, test := range []struct {
		name   string
		before bool // it was there when the scheduler began
		within int  // attempts
	}{
		{"before", true, 10},
		{"later", false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newMemStore()
				store.add("bulk.example", 1, 100_000)
				if test.before {
					store.add("other.example", 2, 1)
				}
				var j journal
				r := run(t, schedule.Options{Store: store, Agent: order(&j), Ramp: -1})
				mark := 0
				if !test.before {
					time.Sleep(time.Minute + time.Second/2) // between attempts
					mark = len(j.all())
					store.add("other.example", 2, 1)
				}
				time.Sleep(3 * time.Second)
				_ = r.stop()
				at := slices.Index(j.all(), "2 other.example")
				if at < 0 || at-mark >= test.within {
					t.Errorf("the single mail was attempt %d after %d", at, mark)
				}
				if snap := r.Snapshot(); snap.Leases != 0 {
					t.Errorf("%d leases not released", snap.Leases)
				}
			})
		})
	}
}

func TestSendersTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var group sync.WaitGroup
		for range 2000 {
			group.Go(func() {
				if _, err := commit(store, simple("bulk", "one.example")); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		var mu sync.Mutex
		started := map[queue.ID]int{}
		var n int
		r := run(t, schedule.Options{Store: store, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			mu.Lock()
			n++
			started[w.Message.ID] = n
			mu.Unlock()
			time.Sleep(time.Second)
			return sent(w)
		}}})
		time.Sleep(30*time.Second + time.Second/2) // between attempts
		for _, from := range []string{"alice", "bob"} {
			mu.Lock()
			before := n
			mu.Unlock()
			id := submit(t, store, simple(from, "one.example"))
			// It is among the twenty that begin next.
			time.Sleep(time.Second)
			mu.Lock()
			if at := started[id]; at == 0 || at-before > 20 {
				t.Errorf("mail of %s was attempt %d, after %d", from, at, before)
			}
			mu.Unlock()
		}
		if snap := r.Snapshot(); snap.Leases > 20_000/4 {
			t.Errorf("%d leases of one destination", snap.Leases)
		}
	})
}

func TestNewMailGoesThreeToOneBeforeRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		grey := run(t, schedule.Options{Store: store, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict { return neutral(w) }}})
		for range 20 {
			submit(t, store, simple("a", "one.example"))
		}
		synctest.Wait()
		if err := grey.stop(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		for range 20 {
			submit(t, store, simple("a", "one.example"))
		}
		var j journal
		run(t, schedule.Options{Store: store, Ramp: -1, MaxPerSite: 1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			if w.Delivery.Attempts > 0 {
				j.add("R")
			} else {
				j.add("N")
			}
			time.Sleep(time.Second)
			return sent(w)
		}}})
		time.Sleep(time.Minute)
		got := strings.Join(j.all(), "")
		if len(got) != 40 || strings.Count(got[:16], "R") != 4 || strings.Contains(got[:16], "RR") {
			t.Errorf("order %q, want three new for one tried before", got)
		}
	})
}

func TestWindowIsBounded(t *testing.T) {
	for _, window := range []int{1, 7, 40} {
		synctest.Test(t, func(t *testing.T) {
			store := newMemStore()
			for i := range 30 {
				store.add(fmt.Sprintf("d%d.example", i), uint32(i), 20)
			}
			var most int
			r := run(t, schedule.Options{Store: store, Ramp: -1, Window: window, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
				time.Sleep(time.Second)
				return sent(w)
			}}})
			for range 3000 {
				time.Sleep(time.Second / 2)
				snap := r.Snapshot()
				most = max(most, snap.Leases+len(snap.Attempts))
			}
			if got := r.Snapshot().Totals.Delivered; got != 600 || most > window {
				t.Errorf("%d delivered, %d leases at once, want 600 and no more than %d", got, most, window)
			}
		})
	}
}

func TestDestinationsInMemoryAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		add := func(from, to int) {
			var group sync.WaitGroup
			for i := from; i < to; i++ {
				group.Go(func() {
					if _, err := commit(store, simple("a", fmt.Sprintf("d%d.example", i))); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
		}
		add(0, 200)
		var late sync.Map
		r := run(t, schedule.Options{Store: store, Ramp: -1, MaxDestinations: 20, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			time.Sleep(time.Second)
			if _, again := late.LoadOrStore(w.Message.ID, true); !again && w.Message.ID%3 == 0 {
				return greylisted(w)
			}
			return sent(w)
		}}})
		most := 0
		for i := range 100 {
			time.Sleep(time.Second)
			most = max(most, r.Snapshot().Destinations)
			add(200+i, 201+i)
		}
		time.Sleep(time.Hour)
		if got := r.Snapshot().Totals.Delivered; got != 300 || most > 20 {
			t.Errorf("%d delivered, %d destinations at once; want 300, no more than 20", got, most)
		}
	})
}

func TestRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		for i := range 2000 {
			store.add(fmt.Sprintf("d%d.example", i), 1, 10)
		}
		var j journal
		run(t, schedule.Options{Store: store, Agent: order(&j), MaxConnections: 10_000})
		var last int
		for second, most := range []int{50, 100, 200, 400, 800} {
			if second > 0 {
				time.Sleep(time.Second)
			}
			synctest.Wait()
			got := len(j.all())
			if got > most || got < most*9/10 || got <= last {
				t.Errorf("%d attempts after %d s, want about %d", got, second, most)
			}
			last = got
		}
		time.Sleep(20 * time.Second)
		if got := len(j.all()); got != 20_000 {
			t.Errorf("%d attempts in the end, want 20000", got)
		}
	})
}
