package schedule_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

// siteState finds a site in a snapshot.
func siteState(t testing.TB, r running, name string) schedule.SiteState {
	t.Helper()
	for _, st := range r.Snapshot().Sites {
		if st.Name == name {
			return st
		}
	}
	t.Fatalf("no site %q in %+v", name, r.Snapshot().Sites)
	return schedule.SiteState{}
}

func TestConcurrencyGrowsByCohorts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		verdicts := make(chan func(*queue.Work) schedule.Verdict)
		for i := range 60 {
			submit(t, store, simple("a", fmt.Sprintf("d%d.example", i)))
		}
		r := run(t, schedule.Options{
			Store: store, Ramp: -1, MaxPerSite: 7,
			Agent: &agent{
				site: func(string) string { return "shared" },
				deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
					if verdict, more := <-verdicts; more {
						return verdict(w)
					}
					return sent(w)
				},
			},
		})
		synctest.Wait()
		for i, step := range []struct {
			verdict func(*queue.Work) schedule.Verdict
			times   int
			want    int
		}{
			{nil, 0, 5},
			{sent, 4, 5}, {sent, 1, 6},
			{greylisted, 6, 7}, // the transaction was good, whatever it said to recipients
			{sent, 7, 7},       // no more than MaxPerSite
			{refused, 1, 6},
			{refused, 1, 6},            // once a cohort
			{sent, 5, 6},               // the cohort of 7 was not all good
			{sent, 5, 6}, {sent, 1, 7}, // one of 6 that was
			{neutral, 12, 7}, // says nothing
		} {
			for range step.times {
				verdicts <- step.verdict
				synctest.Wait()
			}
			if got := siteState(t, r, "shared"); got.Limit != step.want || got.Active != step.want {
				t.Fatalf("step %d: limit %d, active %d, want %d", i, got.Limit, got.Active, step.want)
			}
		}
		close(verdicts)
	})
}

func neutral(w *queue.Work) schedule.Verdict {
	v := greylisted(w)
	v.Health = schedule.Neutral
	return v
}

func TestDeadSiteIsSuspendedAndProbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var alive atomic.Bool
		var mu sync.Mutex
		var tries []time.Duration
		began := time.Now()
		var ids []queue.ID
		for range 40 {
			ids = append(ids, submit(t, store, simple("a", "dead.example")))
		}
		r := run(t, schedule.Options{Store: store, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			mu.Lock()
			tries = append(tries, time.Since(began).Round(time.Second))
			mu.Unlock()
			time.Sleep(time.Second)
			if alive.Load() {
				return sent(w)
			}
			return refused(w)
		}}})
		time.Sleep(30 * time.Second)
		if got := siteState(t, r, "dead.example"); got.Failures != 1 || got.Reason != "connection refused" || got.Limit != 1 || got.Active != 0 || got.Waiting != 0 {
			t.Errorf("after a failed cohort: %+v", got)
		}
		sums, err := store.Destinations(context.Background(), "", 10)
		if err != nil || len(sums) != 1 || sums[0].Failures != 1 || sums[0].Reason != "connection refused" || time.Until(sums[0].Suspended) <= 0 {
			t.Errorf("summary %+v, %v", sums, err)
		}
		time.Sleep(10 * time.Minute)
		mu.Lock()
		// Five at once, then one after each pause, doubling from a minute. The
		// first to fail narrows the limit, so no sixth is begun.
		want := []time.Duration{0, 0, 0, 0, 0, 61, 182, 423}
		for i := range want {
			want[i] *= time.Second
		}
		if fmt.Sprint(tries) != fmt.Sprint(want) {
			t.Errorf("attempts at %v, want %v", tries, want)
		}
		mu.Unlock()
		untried := 0
		for _, id := range ids {
			if d := entry(t, store, id).Deliveries[0]; d.Attempts == 0 && d.State == queue.Queued {
				untried++
			}
		}
		if untried != len(ids)-len(want) {
			t.Errorf("%d untried, want %d", untried, len(ids)-len(want))
		}
		alive.Store(true)
		time.Sleep(20 * time.Minute)
		if sums, _ := store.Destinations(context.Background(), "", 10); len(sums) != 0 {
			t.Errorf("left after recovery: %+v", sums)
		}
		if got := siteState(t, r, "dead.example"); got.Failures != 0 || got.Limit < 2 {
			t.Errorf("after recovery: %+v", got)
		}
	})
}

func TestLoneMessageSuspendsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var alive atomic.Bool
		r := run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			if alive.Load() {
				return sent(w)
			}
			return refused(w)
		}}})
		submit(t, store, simple("a", "dead.example"))
		for range 24 {
			time.Sleep(time.Hour)
			sums, err := store.Destinations(context.Background(), "", 10)
			if err != nil || len(sums) != 1 || sums[0].Failures != 0 || !sums[0].Suspended.IsZero() {
				t.Fatalf("summary %+v, %v", sums, err)
			}
		}
		alive.Store(true)
		time.Sleep(time.Second)
		id := submit(t, store, simple("a", "dead.example"))
		time.Sleep(time.Second)
		if e := entry(t, store, id); e.Ended.IsZero() {
			t.Errorf("new mail to a site that answers again waits: %+v", e.Deliveries)
		}
		_ = r
	})
}

func TestDeadSiteDelaysNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var group sync.WaitGroup
		for i := range 1000 {
			group.Go(func() {
				if _, err := commit(store, simple("bulk", fmt.Sprintf("dead%d.example", i%4))); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		r := run(t, schedule.Options{Store: store, MaxConnections: 20, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			if w.Delivery.Destination == "live.example" {
				return sent(w)
			}
			time.Sleep(30 * time.Second)
			return refused(w)
		}}})
		synctest.Wait()
		for range 20 {
			began := time.Now()
			id := submit(t, store, simple("a", "live.example"))
			synctest.Wait()
			if e := entry(t, store, id); e.Ended.IsZero() {
				t.Fatalf("single mail waits behind dead sites after %v: %+v", time.Since(began), r.Snapshot().Sites)
			}
			time.Sleep(7 * time.Second)
		}
		for _, st := range r.Snapshot().Sites {
			if st.Name != "live.example" && st.Failures == 0 {
				t.Errorf("%s is not suspended: %+v", st.Name, st)
			}
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		for i := range 30 {
			submit(t, store, simple("a", fmt.Sprintf("d%d.example", i)))
			submit(t, store, simple("a", schedule.LocalSite))
		}
		gate := make(chan struct{})
		r := run(t, schedule.Options{
			Store: store, Ramp: -1, MaxConnections: 16, MaxLocal: 7,
			Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
				<-gate
				return sent(w)
			}},
		})
		synctest.Wait()
		if snap := r.Snapshot(); snap.Connections != 16 || snap.Local != 7 || len(snap.Attempts) != 23 {
			t.Errorf("%d connections, %d local, %d attempts; want 16, 7, 23", snap.Connections, snap.Local, len(snap.Attempts))
		}
		r.Reconfigure(schedule.Limits{MaxConnections: 20, MaxLocal: 9})
		synctest.Wait()
		if snap := r.Snapshot(); snap.Connections != 20 || snap.Local != 9 {
			t.Errorf("%d connections, %d local; want 20, 9 after a reconfiguration", snap.Connections, snap.Local)
		}
		close(gate)
		time.Sleep(time.Minute)
		if snap := r.Snapshot(); snap.Totals.Delivered != 60 || snap.Connections != 0 || snap.Local != 0 || snap.Leases != 0 || snap.Destinations != 0 {
			t.Errorf("at the end: %+v", snap)
		}
	})
}

func TestRetryAfterPausesTheDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries atomic.Int64
		for range 30 {
			submit(t, store, simple("a", "relay.example"))
		}
		r := run(t, schedule.Options{Store: store, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			tries.Add(1)
			v := neutral(w)
			v.RetryAfter, v.Reason = 30*time.Minute, "login refused"
			return v
		}}})
		time.Sleep(29 * time.Minute)
		if n := tries.Load(); n != 5 {
			t.Errorf("%d attempts before the pause was over, want the 5 that began at once", n)
		}
		sums, err := store.Destinations(context.Background(), "", 1)
		if err != nil || len(sums) != 1 || sums[0].Reason != "login refused" {
			t.Errorf("summary %+v, %v", sums, err)
		}
		time.Sleep(2 * time.Minute)
		if n := tries.Load(); n != 6 {
			t.Errorf("%d attempts after the pause, want one more", n)
		}
		r.Kick("relay.example")
		time.Sleep(time.Minute)
		if n := tries.Load(); n != 7 {
			t.Errorf("%d attempts after a kick, want one more", n)
		}
	})
}

func TestKickProbesAtOnce(t *testing.T) {
	for _, names := range [][]string{nil, {"dead.example"}, {"dead.example", "nowhere.example"}} {
		synctest.Test(t, func(t *testing.T) {
			store := openStore(t)
			defer store.Close()
			var alive atomic.Bool
			for range 20 {
				submit(t, store, simple("a", "dead.example"))
			}
			r := run(t, schedule.Options{Store: store, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
				if alive.Load() {
					return sent(w)
				}
				return refused(w)
			}}})
			time.Sleep(5 * time.Minute)
			alive.Store(true)
			if _, err := store.Flush(context.Background(), time.Now(), messageIDs(t, store)...); err != nil {
				t.Fatal(err)
			}
			r.Kick(names...)
			time.Sleep(time.Second)
			if n := r.Snapshot().Totals.Delivered; n != 20 {
				t.Errorf("kick %v: %d delivered, want 20", names, n)
			}
		})
	}
}

func messageIDs(t testing.TB, store queue.Store) (ids []queue.ID) {
	t.Helper()
	entries, _, err := store.List(context.Background(), queue.Filter{}, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		ids = append(ids, e.Message.ID)
	}
	return ids
}
