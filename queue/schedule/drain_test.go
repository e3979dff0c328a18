package schedule_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var dot queue.ID
		replied := make(chan struct{})
		a := &agent{deliver: func(ctx context.Context, w *queue.Work) schedule.Verdict {
			if w.Message.ID == dot {
				leave := schedule.InTransfer(ctx)
				defer leave()
				<-replied
				if ctx.Err() != nil {
					t.Error("an attempt in transfer was cancelled")
				}
				return sent(w)
			}
			<-ctx.Done()
			return schedule.Verdict{Uncounted: true}
		}}
		dot = submit(t, store, simple("a", "one.example"))
		other := submit(t, store, simple("a", "two.example"))
		var waiting []queue.ID
		for range 20 {
			waiting = append(waiting, submit(t, store, simple("a", "two.example")))
		}
		r := run(t, schedule.Options{Store: store, Agent: a})
		synctest.Wait()
		ended := make(chan error, 1)
		go func() { ended <- r.stop() }()
		time.Sleep(time.Minute)
		select {
		case <-ended:
			t.Fatal("the drain did not wait for the attempt in transfer")
		default:
		}
		snap := r.Snapshot()
		if !snap.Draining || len(snap.Attempts) != 1 || !snap.Attempts[0].InTransfer || snap.Attempts[0].Key.Message != dot {
			t.Errorf("while draining: %+v", snap)
		}
		late := submit(t, store, simple("a", "three.example"))
		close(replied)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if e := entry(t, store, dot); e.Ended.IsZero() {
			t.Errorf("what was in transfer is not recorded: %+v", e.Deliveries)
		}
		for _, id := range append(waiting, other, late) {
			if d := entry(t, store, id).Deliveries[0]; d.State != queue.Queued || d.Attempts != 0 || d.Due.After(time.Now()) {
				t.Errorf("%s after the drain: %+v", id, d)
			}
		}
	})
}

func TestDrainTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		submit(t, store, simple("a", "one.example"))
		r := run(t, schedule.Options{Store: store, DrainTimeout: 10 * time.Second, Agent: &agent{deliver: func(ctx context.Context, w *queue.Work) schedule.Verdict {
			defer schedule.InTransfer(ctx)()
			<-ctx.Done()
			return neutral(w)
		}}})
		synctest.Wait()
		began := time.Now()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("the drain took %v, want 10s", took)
		}
	})
}

func TestInTransferAfterDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		submit(t, store, simple("a", "one.example"))
		result := make(chan error, 2)
		r := run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(ctx context.Context, w *queue.Work) schedule.Verdict {
			leave := schedule.InTransfer(ctx)
			time.Sleep(time.Minute) // the drain comes here
			result <- ctx.Err()
			leave()
			leave()
			defer schedule.InTransfer(ctx)()
			result <- ctx.Err()
			return sent(w)
		}}})
		synctest.Wait()
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		if err := <-result; err != nil {
			t.Errorf("in transfer: %v", err)
		}
		if err := <-result; err == nil {
			t.Error("not cancelled after the transfer that the drain waited for")
		}
		schedule.InTransfer(context.Background())() // of no attempt
	})
}

// faulty is a store whose Record fails at times.
type faulty struct {
	queue.Store
	record func() error
}

func (f *faulty) Record(ctx context.Context, l queue.Lease, r queue.Record) error {
	if err := f.record(); err != nil {
		return err
	}
	return f.Store.Record(ctx, l, r)
}

func TestRecordIsTriedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		began := time.Now()
		full := &faulty{store, func() error {
			if time.Since(began) < time.Hour {
				return queue.ErrNoSpace
			}
			return nil
		}}
		id := submit(t, store, simple("a", "one.example"))
		var tries atomic.Int64
		r := run(t, schedule.Options{Store: full, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			tries.Add(1)
			return sent(w)
		}}})
		synctest.Wait()
		if err := r.stop(); err != nil { // a drain waits for the record too
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("recorded after %v, want an hour", took)
		}
		if e := entry(t, store, id); e.Ended.IsZero() || tries.Load() != 1 {
			t.Errorf("%d attempts, entry %+v", tries.Load(), e)
		}
	})
}

func TestFailedStorageEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		broken := &faulty{store, func() error { return queue.ErrFailed }}
		submit(t, store, simple("a", "one.example"))
		submit(t, store, simple("a", "two.example"))
		s := schedule.New(schedule.Options{Store: broken, Reporter: &reporter{store: store}, Agent: &agent{deliver: func(ctx context.Context, w *queue.Work) schedule.Verdict {
			if w.Delivery.Destination == "two.example" {
				defer schedule.InTransfer(ctx)()
				<-ctx.Done()
			}
			return sent(w)
		}}})
		if err := s.Run(t.Context()); !errors.Is(err, queue.ErrFailed) {
			t.Errorf("Run ended with %v, want ErrFailed", err)
		}
	})
}

func TestLostLeaseIsIgnored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		gate := make(chan struct{})
		r := run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			<-gate
			return sent(w)
		}}})
		id := submit(t, store, simple("a", "one.example"))
		synctest.Wait()
		if n, err := store.Delete(context.Background(), time.Now(), "by root", id); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		close(gate)
		synctest.Wait()
		if snap := r.Snapshot(); snap.Connections != 0 {
			t.Errorf("slot not freed: %+v", snap)
		}
		next := submit(t, store, simple("a", "one.example"))
		synctest.Wait()
		if e := entry(t, store, next); e.Ended.IsZero() {
			t.Errorf("mail after a lost lease waits: %+v", e.Deliveries)
		}
	})
}

func TestLongAttemptKeepsItsLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries atomic.Int64
		run(t, schedule.Options{Store: store, Lease: time.Minute, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			tries.Add(1)
			time.Sleep(time.Hour)
			return sent(w)
		}}})
		id := submit(t, store, simple("a", "one.example"))
		time.Sleep(2 * time.Hour)
		if e := entry(t, store, id); e.Ended.IsZero() || tries.Load() != 1 {
			t.Errorf("%d attempts, entry %+v", tries.Load(), e)
		}
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "queue.db")
		store := reopen(t, path)
		for range 12 {
			submit(t, store, simple("a", "dead.example"))
		}
		grey := submit(t, store, simple("a", "grey.example"))
		var tries atomic.Int64
		a := &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			tries.Add(1)
			time.Sleep(time.Second)
			if w.Delivery.Destination == "grey.example" {
				return greylisted(w)
			}
			return refused(w)
		}}
		first := run(t, schedule.Options{Store: store, Ramp: -1, Agent: a})
		time.Sleep(10 * time.Second)
		if err := first.stop(); err != nil {
			t.Fatal(err)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		if n := tries.Load(); n != 6 {
			t.Fatalf("%d attempts in the first run, want 6", n)
		}
		store = reopen(t, path)
		defer store.Close()
		second := run(t, schedule.Options{Store: store, Agent: a})
		time.Sleep(40 * time.Second)
		if n := tries.Load(); n != 6 {
			t.Errorf("%d attempts: the second run did not know of the suspension or the backoff", n)
		}
		time.Sleep(20 * time.Second)
		if n, st := tries.Load(), siteState(t, second, "dead.example"); n != 7 || st.Failures != 2 {
			t.Errorf("%d attempts, %+v: want one probe and a second suspension", n, st)
		}
		time.Sleep(4 * time.Minute)
		if d := entry(t, store, grey).Deliveries[0]; d.Attempts != 2 {
			t.Errorf("after 5 minutes: %+v", d)
		}
	})
}
