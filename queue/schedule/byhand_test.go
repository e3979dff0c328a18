package schedule_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

// TestSuspendedByHand: leases that wait are given back, and neither a site that
// answers again nor a kick ends what an administrator asked for.
func TestSuspendedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		ctx := context.Background()
		for range 40 {
			submit(t, store, simple("a", "waits.example"))
		}
		tries := make(chan string)
		r := run(t, schedule.Options{
			Store: store, Ramp: -1, MaxPerSite: 2,
			Agent: &agent{
				site: func(string) string { return "shared" },
				deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
					tries <- w.Delivery.Destination
					return sent(w)
				},
			},
		})
		synctest.Wait()
		if err := store.Suspend(ctx, "waits.example", time.Now().Add(24*time.Hour), "moving", queue.ByHand); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 { // under way when it was suspended
			<-tries
		}
		synctest.Wait()
		submit(t, store, simple("a", "goes.example"))
		if got := <-tries; got != "goes.example" {
			t.Fatalf("tried %s", got)
		}
		r.Kick("waits.example")
		r.Kick()
		select {
		case got := <-tries:
			t.Errorf("tried %s", got)
		case <-time.After(23 * time.Hour):
		}
		sums, err := store.Destinations(ctx, "", 10)
		if err != nil || len(sums) != 1 || sums[0].Count != 38 || !sums[0].ByHand(time.Now()) || sums[0].Reason != "moving" {
			t.Errorf("%+v, %v", sums, err)
		}
		select {
		case <-tries:
		case <-time.After(2 * time.Hour):
			t.Error("the suspension did not end")
		}
		go func() {
			for range tries {
			}
		}()
		synctest.Wait()
		if n := r.Snapshot().Totals.Delivered; n != 41 {
			t.Errorf("%d delivered", n)
		}
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		close(tries)
	})
}

// TestSuspendedByHandAndDead: a site that is dead and answers again changes
// nothing either, whatever it is asked about.
func TestSuspendedByHandAndDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		ctx := context.Background()
		for range 20 {
			submit(t, store, simple("a", "goes.example"))
		}
		submit(t, store, simple("a", "waits.example"))
		until := time.Now().Add(1000 * time.Hour)
		if err := store.Suspend(ctx, "waits.example", until, "moving", queue.ByHand); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r := run(t, schedule.Options{
			Store: store, Ramp: -1,
			Agent: &agent{
				site: func(string) string { return "shared" },
				deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
					if time.Since(began) < 10*time.Minute {
						return refused(w)
					}
					return sent(w)
				},
			},
		})
		time.Sleep(48 * time.Hour)
		if n := r.Snapshot().Totals.Delivered; n != 20 {
			t.Errorf("%d delivered", n)
		}
		sums, err := store.Destinations(ctx, "", 10)
		if err != nil || len(sums) != 1 || !sums[0].Suspended.Equal(until) || sums[0].Reason != "moving" {
			t.Errorf("%+v, %v", sums, err)
		}
	})
}
