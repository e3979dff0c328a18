package schedule_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

func TestBackoffOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries []time.Time
		r := run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			tries = append(tries, time.Now())
			time.Sleep(time.Second)
			return refused(w)
		}}})
		began := time.Now()
		submit(t, store, simple("a", "dead.example"))
		time.Sleep(3 * time.Hour)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		// Each pause runs from the end of the attempt, which took a second.
		want := []time.Duration{0, 5 * time.Minute, 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, time.Hour}
		at := began
		for i, pause := range want {
			at = at.Add(pause)
			if i > 0 {
				at = at.Add(time.Second)
			}
			if i >= len(tries) || tries[i].Sub(at).Abs() > 10*time.Millisecond {
				t.Fatalf("attempt %d: at %v, want the one at %v", i, tries, at)
			}
			at = tries[i]
		}
		if len(tries) != len(want) {
			t.Errorf("%d attempts, want %d", len(tries), len(want))
		}
	})
}

func TestWatchLatency(t *testing.T) {
	store := openStore(t)
	defer store.Close()
	reached := make(chan time.Time, 1)
	run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
		reached <- time.Now()
		return sent(w)
	}}})
	best := time.Hour
	for range 20 {
		submit(t, store, simple("a", "idle.example"))
		committed := time.Now()
		best = min(best, (<-reached).Sub(committed))
	}
	if best > time.Millisecond {
		t.Errorf("the fastest of 20 messages took %v from commit to attempt, want under a millisecond", best)
	}
	t.Logf("fastest: %v after commit", best)
}

func TestLoneMessageClaimsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		counted := &countingStore{Store: store}
		r := run(t, schedule.Options{Store: counted, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict { return sent(w) }}})
		synctest.Wait()
		for range 50 {
			submit(t, store, simple("a", "idle.example"))
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if n := counted.claims.Load(); n > 55 {
			t.Errorf("%d claims for 50 single messages", n)
		}
		if n := counted.agenda.Load(); n > 200 {
			t.Errorf("agenda read %d times", n)
		}
	})
}

// countingStore counts calls.
type countingStore struct {
	queue.Store
	claims, agenda atomic.Int64
}

func (s *countingStore) Claim(ctx context.Context, c queue.Claim) ([]queue.Lease, error) {
	s.claims.Add(1)
	return s.Store.Claim(ctx, c)
}

func (s *countingStore) Agenda(ctx context.Context, until time.Time, max int) ([]queue.AgendaItem, error) {
	s.agenda.Add(1)
	return s.Store.Agenda(ctx, until, max)
}
