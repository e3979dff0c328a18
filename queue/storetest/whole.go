package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"postrider/queue"
)

func wholeTests() []test {
	return []test{
		{"Compact keeps everything", compactKeeps},
		{"a closed store says so", closed},
		{"an ended context ends a call", contextEnded},
		{"everything is delivered once under concurrency", concurrent},
		{"random operations give what the model gives 1", func(f *fixture) { random(f, 1) }},
		{"random operations give what the model gives 2", func(f *fixture) { random(f, 2) }},
		{"random operations give what the model gives 3", func(f *fixture) { random(f, 3) }},
	}
}

func compactKeeps(f *fixture) {
	retries(f, 20)
	id := f.commit(f.message("s", "d"), pattern(1<<20), "d")
	l := f.claim("d", 1)[0]
	want := f.get(id)
	var wg sync.WaitGroup
	for range 20 {
		m := f.message("t", "e")
		wg.Go(func() {
			if _, err := f.tryCommit(m, "x", "e"); err != nil {
				f.Error(err)
			}
		})
	}
	f.must(f.Store.Compact(f.ctx()))
	wg.Wait()
	f.must(f.Store.Record(f.ctx(), l, f.record(deferred(0))))
	f.restart()
	f.must(f.Store.Compact(f.ctx()))
	f.same("entry", f.get(id).Message, want.Message)
	f.same("body", string(f.body(id)), pattern(1<<20))
	f.same("messages", len(f.listAll(queue.Filter{}, 100)), 41)
}

func closed(f *fixture) {
	id := f.accept("s", "d")
	d, err := f.Store.Create(f.ctx())
	f.must(err)
	f.must(f.Store.Close())
	f.must(f.Store.Close())
	ctx := f.ctx()
	_, createErr := f.Store.Create(ctx)
	_, commitErr := d.Commit(ctx, f.message("s", "d"), []string{"d"})
	_, claimErr := f.Store.Claim(ctx, queue.Claim{Destination: "d", Now: f.now, Until: f.now, Max: 1})
	_, getErr := f.Store.Get(ctx, id)
	_, _, listErr := f.Store.List(ctx, queue.Filter{}, 0, 1)
	_, statsErr := f.Store.Stats(ctx)
	_, flushErr := f.Store.Flush(ctx, f.now, id)
	_, settleErr := f.Store.Settle(ctx, queue.Settlement{Message: id}, nil, nil)
	for i, err := range []error{
		createErr, commitErr, claimErr, getErr, listErr, statsErr, flushErr, settleErr,
		f.Store.Record(ctx, queue.Lease{}, queue.Record{}), f.Store.Suspend(ctx, "d", f.now, "", 0),
		f.Store.Compact(ctx), f.Store.Check(ctx), f.Store.Renew(ctx, f.now), f.Store.Release(ctx),
	} {
		if err == nil {
			f.Errorf("call %d on a closed store succeeded", i)
			continue
		}
		f.want(err, queue.ErrClosed)
	}
	select {
	case <-f.Store.Failed():
		f.Error("Close was taken for a failure")
	default:
	}
}

func contextEnded(f *fixture) {
	id := f.accept("s", "d")
	d, err := f.Store.Create(f.ctx())
	f.must(err)
	ctx, cancel := context.WithCancel(f.ctx())
	cancel()
	_, createErr := f.Store.Create(ctx)
	_, commitErr := d.Commit(ctx, f.message("s", "d"), []string{"d"})
	_, getErr := f.Store.Get(ctx, id)
	_, holdErr := f.Store.Hold(ctx, "", id)
	for _, err := range []error{createErr, commitErr, getErr, holdErr, f.Store.Compact(ctx)} {
		f.want(err, context.Canceled)
	}
	f.same("messages", f.listAll(queue.Filter{}, 10), []queue.ID{id})
	f.same("state", f.state(id), queue.Queued)
}

// concurrent has many accept, attempt and administer at once.
func concurrent(f *fixture) {
	const producers, each, workers = 8, 40, 6
	var wg, working sync.WaitGroup
	var mu sync.Mutex
	done := make(map[queue.DeliveryKey]int)
	var left atomic.Int64
	left.Store(2 * producers * each)
	deadline := time.Now().Add(time.Minute)
	for p := range producers {
		wg.Go(func() {
			for i := range each {
				m := &queue.Message{Recipients: make([]queue.Recipient, 2), Arrival: f.now, Expires: f.now.Add(time.Hour), Origin: queue.Origin{UID: p}}
				if _, err := f.tryCommit(m, "x", fmt.Sprint("d", i%5), "e"); err != nil {
					f.Error(err)
				}
			}
		})
	}
	for w := range workers {
		working.Go(func() {
			for n := 0; left.Load() > 0 && time.Now().Before(deadline); n++ {
				for _, l := range f.attempt(w, n) {
					mu.Lock()
					done[l.Key]++
					mu.Unlock()
					left.Add(-1)
				}
			}
		})
	}
	wg.Wait()
	working.Wait()
	for key, n := range done {
		if n != 1 {
			f.Errorf("%v was delivered %d times", key, n)
		}
	}
	st, err := f.Store.Stats(f.ctx())
	f.must(err)
	f.same("left", []int{st.Messages, st.Deliveries, st.Destinations}, []int{0, 0, 0})
}

// attempt claims some deliveries and delivers them. Now and then it gives one back,
// or has its message held and released meanwhile.
func (f *fixture) attempt(worker, n int) (recorded []queue.Lease) {
	name := fmt.Sprint("d", (worker+n)%5)
	if (worker+n)%2 == 0 {
		name = "e"
	}
	ls, err := f.Store.Claim(f.ctx(), queue.Claim{Destination: name, Owner: fmt.Sprint(worker), Now: f.now, Until: f.now.Add(time.Hour), Max: 5})
	if err != nil {
		f.Error(err)
	}
	for i, l := range ls {
		switch {
		case i == 3:
			if err := f.Store.Release(f.ctx(), l); err != nil {
				f.Error(err)
			}
			continue
		case n%16 == 3 && i == 1:
			_, holdErr := f.Store.Hold(f.ctx(), "", l.Key.Message)
			_, unholdErr := f.Store.Unhold(f.ctx(), l.Key.Message)
			if holdErr != nil || unholdErr != nil {
				f.Error(holdErr, unholdErr)
			}
		}
		var all []queue.Outcome
		for r := range 2 {
			all = append(all, delivered(r))
		}
		err := f.Store.Record(f.ctx(), l, queue.Record{Now: f.now, Attempt: queue.Attempt{Started: f.now, Outcomes: all}})
		switch {
		case err == nil:
			recorded = append(recorded, l)
		case n%16 != 3 && !isLost(err):
			f.Error(err)
		}
	}
	return recorded
}
