package schedule_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

func TestSiteOfADestinationChanges(t *testing.T) {
	for _, test := range []struct {
		name string
		dead bool // the new site is suspended
	}{{"to a sound site", false}, {"to a suspended site", true}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := openStore(t)
				defer store.Close()
				var moved, alive atomic.Bool
				alive.Store(!test.dead)
				const messages = 60
				for range messages {
					submit(t, store, simple("a", "slow.example"))
				}
				r := run(t, schedule.Options{Store: store, Ramp: -1, Agent: &agent{
					site: func(d string) string {
						if d == "slow.example" && !moved.Load() {
							return "old"
						}
						return "new"
					},
					deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
						if w.Delivery.Destination == "other.example" && !alive.Load() {
							time.Sleep(time.Second)
							return refused(w)
						}
						time.Sleep(2 * time.Minute)
						return sent(w)
					},
				}})
				time.Sleep(9 * time.Minute)
				for range 10 {
					submit(t, store, simple("a", "other.example"))
				}
				moved.Store(true)
				time.Sleep(5 * time.Minute)
				was, is := siteState(t, r, "old"), siteState(t, r, "new")
				if was.Waiting != 0 || was.Destinations != 0 || is.Destinations < 1 {
					t.Errorf("old %+v, new %+v", was, is)
				}
				if test.dead && (is.Failures == 0 || is.Waiting > 1) {
					t.Errorf("new site is not suspended: %+v", is)
				}
				alive.Store(true)
				time.Sleep(5 * time.Hour)
				if got := r.Snapshot(); got.Totals.Delivered != messages+10 || got.Destinations != 0 || got.Leases != 0 {
					t.Errorf("at the end %+v", got)
				}
			})
		})
	}
}

// flaky is a store that cannot be read for a while.
type flaky struct {
	queue.Store
	until time.Time
}

var errDisk = errors.New("input/output error")

func (f *flaky) fail() bool { return time.Now().Before(f.until) }

func (f *flaky) Claim(ctx context.Context, c queue.Claim) ([]queue.Lease, error) {
	if f.fail() {
		return nil, errDisk
	}
	return f.Store.Claim(ctx, c)
}

func (f *flaky) Waking(ctx context.Context, until time.Time, most int) ([]queue.Destination, error) {
	if f.fail() {
		return nil, errDisk
	}
	return f.Store.Waking(ctx, until, most)
}

func (f *flaky) Agenda(ctx context.Context, until time.Time, most int) ([]queue.AgendaItem, error) {
	if f.fail() {
		return nil, errDisk
	}
	return f.Store.Agenda(ctx, until, most)
}

func (f *flaky) Suspend(ctx context.Context, destination string, until time.Time, reason string, failures int) error {
	if f.fail() {
		return errDisk
	}
	return f.Store.Suspend(ctx, destination, until, reason, failures)
}

func TestStoreThatCannotBeReadForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		f := &flaky{store, time.Now().Add(10 * time.Minute)}
		submit(t, store, simple("a", "one.example"))
		r := run(t, schedule.Options{Store: f, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict { return sent(w) }}})
		synctest.Wait()
		submit(t, store, simple("a", "two.example"))
		time.Sleep(9 * time.Minute)
		r.Kick()
		r.Kick("two.example")
		time.Sleep(2 * time.Minute)
		if got := r.Snapshot().Totals.Delivered; got != 2 {
			t.Errorf("%d delivered a minute after the store came back, want 2", got)
		}
	})
}

func TestDrainTimeoutGivesUpOnRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		full := &faulty{store, func() error { return queue.ErrNoSpace }}
		submit(t, store, simple("a", "one.example"))
		r := run(t, schedule.Options{Store: full, DrainTimeout: 20 * time.Second, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict { return sent(w) }}})
		synctest.Wait()
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 20*time.Second {
			t.Errorf("the drain took %v, want 20s", took)
		}
	})
}

func TestBusySitesLeaveConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newMemStore()
		for i := range 8 { // which are allowed five each
			store.add(fmt.Sprintf("slow%d.example", i), 1, 100)
		}
		var fast atomic.Int64
		r := run(t, schedule.Options{Store: store, Ramp: -1, MaxConnections: 40, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			if w.Delivery.Destination == "fast.example" {
				fast.Add(1)
			} else {
				time.Sleep(time.Hour)
			}
			return sent(w)
		}}})
		time.Sleep(time.Minute)
		if n := r.Snapshot().Connections; n < 35 || n > 36 {
			t.Errorf("%d connections of 40 used by busy sites, want an eighth left but for a site's first", n)
		}
		store.add("fast.example", 1, 1)
		time.Sleep(time.Second)
		if fast.Load() != 1 {
			t.Error("single mail waits for busy sites")
		}
	})
}
