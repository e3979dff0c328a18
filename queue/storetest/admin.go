package storetest

import (
	"time"

	"postrider/queue"
)

func adminTests() []test {
	return []test{
		{"Suspend passes over destinations without mail", suspendEmpty},
		{"a suspension lasts as long as there is mail and over a restart", suspendLasts},
		{"Flush makes deferred deliveries due now", flushDeferred},
		{"Flush leaves held and leased ones and suspensions", flushLeaves},
		{"Hold and Unhold", holdUnhold},
		{"Hold ends leases", holdLeased},
		{"Delete ends messages with nobody told", deleteMessages},
		{"Delete ends leases", deleteLeased},
		{"Conclude ends recipients", concludeEnds},
		{"Conclude passes over what has ended or is leased", concludePasses},
		{"Conclude reaches held messages", concludeHeld},
		{"many messages at once", adminMany},
	}
}

func suspendEmpty(f *fixture) {
	f.must(f.Store.Suspend(f.ctx(), "d", f.now.Add(time.Hour), "down", 1))
	f.same("no summary", f.destination("d"), queue.Destination{})
	f.accept("s", "d")
	f.claimOne("d")
}

func suspendLasts(f *fixture) {
	id := f.accept("s", "d")
	f.must(f.Store.Suspend(f.ctx(), "d", f.now.Add(time.Hour), "down", 1))
	f.restart()
	f.accept("s", "d")
	f.same("summary", f.destination("d"), queue.Destination{Name: "d", Count: 2, Due: f.now, Suspended: f.now.Add(time.Hour), Reason: "down", Failures: 1})
	f.same("wakes", f.destination("d").Wake(), f.now.Add(time.Hour))
	_, err := f.Store.Delete(f.ctx(), f.now, "", id, id+1)
	f.must(err)
	for _, left := range f.listAll(queue.Filter{}, 10) {
		_, err := f.Store.Delete(f.ctx(), f.now, "", left)
		f.must(err)
	}
	f.accept("s", "d")
	f.claimOne("d")
}

func flushDeferred(f *fixture) {
	retries(f, 3)
	ls := f.claim("d", 3)
	for _, l := range ls {
		f.must(f.Store.Record(f.ctx(), l, f.record(deferred(0))))
	}
	f.now = f.now.Add(time.Second)
	n, err := f.Store.Flush(f.ctx(), f.now, ls[0].Key.Message, ls[1].Key.Message, 12345)
	f.must(err)
	f.same("flushed", n, 2)
	f.same("due", f.get(ls[0].Key.Message).Deliveries[0].Due, f.now)
	f.same("claimed", len(f.claim("d", 5)), 2)
	n, err = f.Store.Flush(f.ctx(), f.now)
	f.must(err)
	f.same("flushed without IDs", n, 0)
}

func flushLeaves(f *fixture) {
	retries(f, 2)
	ls := f.claim("d", 2)
	for _, l := range ls {
		f.must(f.Store.Record(f.ctx(), l, f.record(deferred(0))))
	}
	until := f.now.Add(24 * time.Hour)
	f.must(f.Store.Suspend(f.ctx(), "d", until, "down", 1))
	held, leased := ls[0].Key.Message, f.accept("s", "e")
	_, err := f.Store.Hold(f.ctx(), "", held)
	f.must(err)
	f.claimOne("e")
	n, err := f.Store.Flush(f.ctx(), f.now, held, leased, ls[1].Key.Message)
	f.must(err)
	f.same("flushed", n, 1)
	n, err = f.Store.Flush(f.ctx(), f.now.Add(-time.Second), leased)
	f.must(err)
	f.same("flushed by a clock gone back", n, 0)
	f.same("states", []queue.State{f.state(held), f.state(leased)}, []queue.State{queue.Held, queue.Active})
	f.same("suspended", f.destination("d").Suspended, until)
}

func holdUnhold(f *fixture) {
	retries(f, 1)
	tried := f.listAll(queue.Filter{}, 10)[0]
	fresh := f.accept("s", "d")
	before := []*queue.Entry{f.get(tried), f.get(fresh)}
	n, err := f.Store.Hold(f.ctx(), "why not", tried, fresh, 999)
	f.must(err)
	f.same("held", n, 2)
	n, err = f.Store.Hold(f.ctx(), "again", tried)
	f.must(err)
	f.same("held again", n, 0)
	f.restart()
	f.same("states", []queue.State{f.state(tried), f.state(fresh)}, []queue.State{queue.Held, queue.Held})
	f.same("reason", f.get(tried).HoldReason, "why not")
	f.same("claimed", len(f.claim("d", 5)), 0)
	n, err = f.Store.Unhold(f.ctx(), tried, fresh, 999)
	f.must(err)
	f.same("released", n, 2)
	n, err = f.Store.Unhold(f.ctx(), tried)
	f.must(err)
	f.same("released again", n, 0)
	f.same("as before", []*queue.Entry{f.get(tried), f.get(fresh)}, before)
	f.same("claimed", len(f.claim("d", 5)), 2)
}

func holdLeased(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	_, err := f.Store.Hold(f.ctx(), "", id)
	f.must(err)
	f.want(f.Store.Record(f.ctx(), l, f.record(delivered(0))), queue.ErrLeaseLost)
	f.same("state", f.state(id), queue.Held)
	_, err = f.Store.Unhold(f.ctx(), id)
	f.must(err)
	f.want(f.Store.Record(f.ctx(), l, f.record(delivered(0))), queue.ErrLeaseLost)
	f.claimOne("d")
}

func deleteMessages(f *fixture) {
	owing := f.accept("s", "d", "d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	held := f.accept("s", "d")
	_, err := f.Store.Hold(f.ctx(), "", held)
	f.must(err)
	n, err := f.Store.Delete(f.ctx(), f.now, "spam", owing, held, 5)
	f.must(err)
	f.same("deleted", n, 2)
	f.restart()
	e, err := f.Store.Retired(f.ctx(), owing)
	f.must(err)
	rs := e.Deliveries[0].Recipients
	f.same("results", []any{rs[0].Result, rs[0].Owed, rs[1].Result, rs[1].Reply}, []any{queue.Failed, false, queue.Removed, "spam"})
	f.same("not on the agenda", f.agenda(owing), time.Time{})
	h, err := f.Store.History(f.ctx(), held)
	f.must(err)
	f.same("history", []any{len(h), h[0].Note, h[0].Started, h[0].Destination}, []any{1, "spam", f.now, "d"})
}

func deleteLeased(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	_, err := f.Store.Delete(f.ctx(), f.now, "", id)
	f.must(err)
	f.want(f.Store.Record(f.ctx(), l, f.record(delivered(0))), queue.ErrLeaseLost)
	_, err = f.Store.Load(f.ctx(), l)
	f.want(err, queue.ErrLeaseLost)
	f.must(f.Store.Renew(f.ctx(), f.now.Add(time.Hour), l))
	f.must(f.Store.Release(f.ctx(), l))
	_, err = f.Store.Retired(f.ctx(), id)
	f.must(err)
}

func concludeEnds(f *fixture) {
	id := f.accept("s", "d", "d", "e")
	expired := queue.Outcome{Index: 0, Result: queue.Failed, Status: "4.4.7", Reply: "expired", Owed: true}
	f.must(f.Store.Conclude(f.ctx(), id, f.now, "expired", []queue.Outcome{expired}))
	d := f.get(id).Deliveries[0]
	f.same("delivery", []any{d.State, d.Attempts, d.Recipients[0]},
		[]any{queue.Queued, 0, queue.DeliveryRecipient{Index: 0, Result: queue.Failed, Status: "4.4.7", Reply: "expired", Owed: true, At: f.now}})
	f.same("agenda", f.agenda(id), f.now.Add(f.ReportWait))
	var rest []queue.Outcome
	for i := 1; i < 3; i++ {
		rest = append(rest, queue.Outcome{Index: i, Result: queue.Failed, Status: "4.4.7", Owed: true})
	}
	f.now = f.now.Add(time.Second)
	f.must(f.Store.Conclude(f.ctx(), id, f.now, "expired", rest))
	f.same("agenda at the end", f.agenda(id), f.now)
	f.same("summaries", []int{f.destination("d").Count, f.destination("e").Count}, []int{0, 0})
	h, err := f.Store.History(f.ctx(), id)
	f.must(err)
	f.same("history", []any{len(h), h[0].Destination, h[0].Note, len(h[1].Outcomes)}, []any{2, "d", "expired", 2})
	f.want(f.Store.Conclude(f.ctx(), 5, f.now, "", rest), queue.ErrNotFound)
	if err := f.Store.Conclude(f.ctx(), id, f.now, "", []queue.Outcome{deferred(0)}); err == nil {
		f.Error("concluded with a temporary failure")
	}
}

func concludePasses(f *fixture) {
	id := f.accept("s", "d", "e")
	l := f.claimOne("d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(delivered(1))))
	f.must(f.Store.Conclude(f.ctx(), id, f.now, "", []queue.Outcome{bounced(0), bounced(1), bounced(8)}))
	ds := f.get(id).Deliveries
	f.same("results", []queue.Result{ds[0].Recipients[0].Result, ds[1].Recipients[0].Result}, []queue.Result{queue.Pending, queue.Delivered})
	f.must(f.Store.Record(f.ctx(), l, f.record(delivered(0))))
	_, err := f.Store.Retired(f.ctx(), id)
	f.must(err)
}

func concludeHeld(f *fixture) {
	id := f.accept("s", "d")
	_, err := f.Store.Hold(f.ctx(), "", id)
	f.must(err)
	f.must(f.Store.Conclude(f.ctx(), id, f.now, "", []queue.Outcome{bounced(0)}))
	f.same("state", f.state(id), queue.Done)
	f.same("summary", f.destination("d").Count, 0)
}

func adminMany(f *fixture) {
	var ids []queue.ID
	for range 700 {
		ids = append(ids, f.accept("s", "d"))
	}
	for _, op := range []struct {
		name string
		run  func() (int, error)
	}{
		{"hold", func() (int, error) { return f.Store.Hold(f.ctx(), "", ids...) }},
		{"release", func() (int, error) { return f.Store.Unhold(f.ctx(), ids...) }},
		{"delete", func() (int, error) { return f.Store.Delete(f.ctx(), f.now, "", ids...) }},
		{"forget", func() (int, error) { return f.Store.Forget(f.ctx(), f.now.Add(time.Second), 5000) }},
	} {
		n, err := op.run()
		f.must(err)
		f.same(op.name, n, len(ids))
	}
}
