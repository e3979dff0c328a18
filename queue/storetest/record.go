package storetest

import (
	"time"

	"postrider/queue"
)

func recordTests() []test {
	return []test{
		{"outcomes are kept with their recipients", recordOutcomes},
		{"recipients left are due at Next", recordNext},
		{"an uncounted attempt leaves the rest as it was", recordUncounted},
		{"recording twice does nothing", recordTwice},
		{"a lease lost is refused and leaves no trace", recordLost},
		{"recipients move to deliveries of their own", recordMove},
		{"a delivery may lose all its recipients", recordMoveAll},
		{"a message with nothing left retires", recordRetires},
		{"an outcome for a recipient that ended is passed over", recordEnded},
		{"each attempt is in the history", recordHistory},
		{"one bad record does not disturb others", recordIsolated},
	}
}

func recordOutcomes(f *fixture) {
	id := f.accept("s", "d", "d", "e")
	f.now = f.now.Add(time.Minute)
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(delivered(0), deferred(1))))
	f.restart()
	d := f.get(id).Deliveries[0]
	f.same("recipients", d.Recipients, []queue.DeliveryRecipient{
		{Index: 0, Result: queue.Delivered, Reply: "250 2.0.0 ok", Status: "2.0.0", Code: 250, Remote: "mx.example.net", At: f.now},
		{Index: 1, Result: queue.Temporary, Reply: "451 4.3.0 later\xff", Status: "4.3.0", Code: 451, Remote: "mx.example.net", At: f.now},
	})
	f.same("attempts", d.Attempts, 1)
	f.same("last attempt", d.LastAttempt, f.now.Add(-time.Second))
}

func recordNext(f *fixture) {
	id := f.accept("s", "d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record()))
	f.same("state", f.state(id), queue.Deferred)
	f.same("due", f.get(id).Deliveries[0].Due, f.now.Add(5*time.Minute))
	f.same("at once", len(f.claim("d", 1)), 0)
	f.now = f.now.Add(5 * time.Minute)
	if l := f.claimOne("d"); !l.Retry || !l.Due.Equal(f.now) {
		f.Errorf("lease %+v", l)
	}
}

func recordUncounted(f *fixture) {
	id := f.accept("s", "d")
	before := f.get(id).Deliveries[0]
	r := f.record()
	r.Uncounted = true
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), r))
	before.Due = r.Next
	f.same("delivery", f.get(id).Deliveries[0], before)
	f.now = r.Next
	if f.claimOne("d").Retry {
		f.Error("taken for tried")
	}
}

func recordTwice(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	f.must(f.Store.Record(f.ctx(), l, f.record(deferred(0))))
	want := f.get(id)
	for range 2 {
		f.must(f.Store.Record(f.ctx(), l, f.record(delivered(0))))
		f.same("entry", f.get(id), want)
		f.restart()
	}
	f.now = f.now.Add(time.Hour)
	l = f.claimOne("d")
	f.must(f.Store.Record(f.ctx(), l, f.record(delivered(0))))
	for range 2 {
		f.must(f.Store.Record(f.ctx(), l, f.record(bounced(0))))
		f.restart()
	}
	h, err := f.Store.History(f.ctx(), id)
	f.must(err)
	f.same("attempts", len(h), 2)
}

func recordLost(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	want := f.get(id)
	for _, bad := range []queue.Lease{
		{Key: l.Key, Token: l.Token + 1}, {Key: l.Key}, {Key: queue.DeliveryKey{Message: id, N: 7}, Token: l.Token},
		{Key: queue.DeliveryKey{Message: id + 1}, Token: l.Token}, {},
	} {
		f.want(f.Store.Record(f.ctx(), bad, f.record(delivered(0))), queue.ErrLeaseLost)
	}
	f.same("entry", f.get(id), want)
	h, err := f.Store.History(f.ctx(), id)
	f.must(err)
	f.same("attempts", len(h), 0)
}

func recordMove(f *fixture) {
	id := f.accept("s", "d", "d", "d", "d", "d")
	r := f.record(delivered(0), deferred(1), delivered(4))
	r.Move = map[int]string{1: "x", 2: "y", 3: "x", 4: "y", 17: "z"}
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), r))
	f.restart()
	ds := f.get(id).Deliveries
	f.same("deliveries", len(ds), 3)
	f.same("old", []any{ds[0].Destination, ds[0].State, len(ds[0].Recipients)}, []any{"d", queue.Done, 2})
	f.same("first new", []any{ds[1].Destination, ds[1].Due, ds[1].Recipients[0].Index, ds[1].Recipients[1].Index}, []any{"x", f.now, 1, 3})
	f.same("second new", []any{ds[2].Destination, ds[2].Due, ds[2].Recipients[0].Index}, []any{"y", f.now, 2})
	f.same("reply kept", ds[1].Recipients[0].Code, 451)
	f.same("summary of the old", f.destination("d").Count, 0)
	f.claimOne("x")
	f.claimOne("y")
}

func recordMoveAll(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	r := f.record()
	r.Uncounted, r.Move = true, map[int]string{0: "e"}
	f.must(f.Store.Record(f.ctx(), l, r))
	f.must(f.Store.Record(f.ctx(), l, r))
	ds := f.get(id).Deliveries
	f.same("deliveries", len(ds), 1)
	f.same("moved", []any{ds[0].Destination, ds[0].State, ds[0].Attempts}, []any{"e", queue.Queued, 0})
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(delivered(0))))
	_, err := f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
}

func recordRetires(f *fixture) {
	id := f.accept("s", "d", "e")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(delivered(0))))
	f.get(id)
	f.now = f.now.Add(time.Minute)
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(queue.Outcome{Index: 1, Result: queue.Relayed, Status: "2.0.0"})))
	f.restart()
	_, err := f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	_, err = f.Store.Body(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	e, err := f.Store.Retired(f.ctx(), id)
	f.must(err)
	f.same("ended", e.Ended, f.now)
	f.same("results", []queue.Result{e.Deliveries[0].Recipients[0].Result, e.Deliveries[1].Recipients[0].Result}, []queue.Result{queue.Delivered, queue.Relayed})
	f.same("state", e.Deliveries[1].State, queue.Done)
	st, err := f.Store.Stats(f.ctx())
	f.must(err)
	f.same("stats", []int64{int64(st.Messages), int64(st.Deliveries), int64(st.Destinations), st.Bytes}, []int64{0, 0, 0, 0})
}

func recordEnded(f *fixture) {
	id := f.accept("s", "d", "d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(delivered(0))))
	f.now = f.now.Add(time.Hour)
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0), deferred(1), bounced(9))))
	rs := f.get(id).Deliveries[0].Recipients
	f.same("results", []queue.Result{rs[0].Result, rs[1].Result}, []queue.Result{queue.Delivered, queue.Temporary})
}

func recordHistory(f *fixture) {
	id := f.accept("s", "d")
	var want []queue.Attempt
	for i := range 3 {
		r := f.record(deferred(0))
		r.Attempt.Destination, r.Attempt.Note = "d", "note"
		r.Attempt.Tries = []queue.Try{{Host: "mx", Address: "192.0.2.1:25", TLS: "none", Error: "e", Took: time.Duration(i), Reused: true}}
		want = append(want, r.Attempt)
		f.must(f.Store.Record(f.ctx(), f.claimOne("d"), r))
		f.now = r.Next
	}
	f.restart()
	h, err := f.Store.History(f.ctx(), id)
	f.must(err)
	f.same("history", h, want)
}

func recordIsolated(f *fixture) {
	const count = 20
	for range count {
		f.accept("s", "d")
	}
	errs := make(chan error, 2*count)
	for _, l := range f.claim("d", count) {
		go func() { errs <- f.Store.Record(f.ctx(), l, f.record(delivered(0))) }()
		go func() { errs <- f.Store.Record(f.ctx(), queue.Lease{Key: l.Key, Token: 1}, f.record()) }()
	}
	good := 0
	for range 2 * count {
		if err := <-errs; err == nil {
			good++
		} else {
			f.want(err, queue.ErrLeaseLost)
		}
	}
	f.same("recorded", good, count)
}
