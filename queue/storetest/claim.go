package storetest

import (
	"fmt"
	"slices"
	"time"

	"postrider/queue"
)

func claimTests() []test {
	return []test{
		{"a lease is exclusive", claimExclusive},
		{"only what is due at its destination is leased", claimDue},
		{"a lease tells what it is for", claimTells},
		{"a suspended destination yields nothing", claimSuspended},
		{"senders are served in turn", claimSenders},
		{"a batch in front does not delay another sender", claimBatch},
		{"three new deliveries go for one tried before", claimClasses},
		{"the earliest due comes first", claimEarliest},
		{"Release gives back as it was", claimRelease},
		{"a lease ends at Until and its token is refused once another claims", claimExpires},
		{"Renew prolongs leases that are not lost", claimRenew},
		{"leases end with the process", claimRestart},
		{"Load reads what an attempt needs", claimLoad},
	}
}

func claimExclusive(f *fixture) {
	for range 5 {
		f.accept("s", "d")
	}
	seen := make(map[queue.DeliveryKey]bool)
	for _, most := range []int{2, 0, 1, 10, 10} {
		for _, l := range f.claim("d", most) {
			if seen[l.Key] {
				f.Fatalf("%v leased twice", l.Key)
			}
			seen[l.Key] = true
			f.same("state", f.state(l.Key.Message), queue.Active)
		}
	}
	f.same("leased", len(seen), 5)
}

func claimDue(f *fixture) {
	f.accept("s", "other")
	id := f.accept("s", "d")
	f.now = f.now.Add(-time.Nanosecond)
	f.same("too early", len(f.claim("d", 10)), 0)
	f.now = f.now.Add(time.Nanosecond)
	f.same("in time", f.claimOne("d").Key.Message, id)
	f.same("nowhere", len(f.claim("nowhere", 10)), 0)
	f.same("prefix of a name", len(f.claim("othe", 10)), 0)
}

func claimTells(f *fixture) {
	a, b := f.message("s", "d"), f.message("s", "d")
	c, d := f.message("t", "d"), f.message("s", "d")
	d.Origin.UID = 7
	sender := make(map[queue.ID]uint32)
	for _, m := range []*queue.Message{a, b, c, d} {
		f.commit(m, "x", "d")
	}
	for _, l := range f.claim("d", 10) {
		sender[l.Key.Message] = l.Sender
		if l.Token == 0 || l.Retry || !l.Due.Equal(f.now) {
			f.Errorf("lease %+v", l)
		}
	}
	if sender[a.ID] != sender[b.ID] || sender[a.ID] == sender[c.ID] || sender[a.ID] == sender[d.ID] {
		f.Errorf("senders %v", sender)
	}
}

func claimSuspended(f *fixture) {
	f.accept("s", "d")
	f.must(f.Store.Suspend(f.ctx(), "d", f.now.Add(time.Minute), "down", 3))
	f.same("suspended", len(f.claim("d", 10)), 0)
	f.now = f.now.Add(time.Minute)
	f.same("afterwards", len(f.claim("d", 10)), 1)
}

func claimSenders(f *fixture) {
	for i := range 30 {
		f.accept(fmt.Sprintf("s%d", i%3), "d")
	}
	count := make(map[uint32]int)
	for range 3 {
		for _, l := range f.claim("d", 3) {
			count[l.Sender]++
		}
	}
	for sender, n := range count {
		if n != 3 {
			f.Errorf("sender %x was served %d times of 9", sender, n)
		}
	}
}

func claimBatch(f *fixture) {
	for range 600 {
		f.accept("bulk", "d")
	}
	f.now = f.now.Add(time.Second)
	single := f.accept("single", "d")
	f.claim("d", 400)
	f.accept("late", "d")
	late := slices.ContainsFunc(f.claim("d", 3), func(l queue.Lease) bool { return l.Key.Message > single })
	if f.state(single) != queue.Active || !late {
		f.Error("a batch starves a single message")
	}
}

// retries makes deliveries that were tried before and are due.
func retries(f *fixture, count int) {
	f.Helper()
	for range count {
		f.accept("s", "d")
	}
	for _, l := range f.claim("d", count) {
		f.must(f.Store.Record(f.ctx(), l, f.record(deferred(0))))
	}
	f.now = f.now.Add(time.Hour)
}

func claimClasses(f *fixture) {
	retries(f, 20)
	for range 20 {
		f.accept("s", "d")
	}
	tried := 0
	for range 4 {
		for _, l := range f.claim("d", 4) {
			if l.Retry {
				tried++
			}
		}
	}
	f.same("tried before, of 16", tried, 4)
	f.same("all of the rest", len(f.claim("d", 100)), 24)
}

func claimEarliest(f *fixture) {
	base := f.now
	var ids []queue.ID
	for _, minute := range []int{3, 1, 2, 0} {
		f.now = base.Add(time.Duration(minute) * time.Minute)
		ids = append(ids, f.accept("s", "d"))
	}
	f.now = base.Add(time.Hour)
	var got []queue.ID
	for range 4 {
		got = append(got, f.claim("d", 1)[0].Key.Message)
	}
	f.same("order", got, []queue.ID{ids[3], ids[1], ids[2], ids[0]})
}

func claimRelease(f *fixture) {
	retries(f, 1)
	id := f.accept("s", "d")
	ls := f.claim("d", 2)
	f.must(f.Store.Release(f.ctx(), ls...))
	f.must(f.Store.Release(f.ctx(), ls...))
	f.same("state", f.state(id), queue.Queued)
	f.want(f.Store.Record(f.ctx(), ls[0], f.record(delivered(0))), queue.ErrLeaseLost)
	f.same("claimed again", len(f.claim("d", 5)), 2)
}

func claimExpires(f *fixture) {
	id := f.accept("s", "d")
	old := f.claimOne("d")
	f.now = f.now.Add(time.Hour - time.Nanosecond)
	f.same("before the end", len(f.claim("d", 1)), 0)
	f.now = f.now.Add(time.Nanosecond)
	now := f.claimOne("d")
	if now.Token == old.Token {
		f.Error("the token is the same")
	}
	_, err := f.Store.Load(f.ctx(), old)
	f.want(err, queue.ErrLeaseLost)
	f.want(f.Store.Record(f.ctx(), old, f.record(delivered(0))), queue.ErrLeaseLost)
	f.must(f.Store.Release(f.ctx(), old))
	f.must(f.Store.Renew(f.ctx(), f.now.Add(-time.Hour), old))
	f.same("state", f.state(id), queue.Active)
	f.must(f.Store.Record(f.ctx(), now, f.record(delivered(0))))
}

func claimRenew(f *fixture) {
	f.accept("s", "d")
	f.accept("s", "d")
	ls := f.claim("d", 2)
	f.must(f.Store.Release(f.ctx(), ls[1]))
	f.must(f.Store.Renew(f.ctx(), f.now.Add(3*time.Hour), ls...))
	f.now = f.now.Add(2 * time.Hour)
	again := f.claimOne("d")
	f.same("the one released", again.Key, ls[1].Key)
	f.now = f.now.Add(time.Hour)
	f.same("both", len(f.claim("d", 5)), 2)
}

func claimRestart(f *fixture) {
	id := f.accept("s", "d")
	old := f.claimOne("d")
	f.restart()
	f.same("state", f.state(id), queue.Queued)
	f.want(f.Store.Record(f.ctx(), old, f.record(delivered(0))), queue.ErrLeaseLost)
	now := f.claimOne("d")
	if now.Token == old.Token {
		f.Error("a token was given twice")
	}
	f.want(f.Store.Record(f.ctx(), old, f.record(delivered(0))), queue.ErrLeaseLost)
}

func claimLoad(f *fixture) {
	m := f.message("s", "d", "d", "e")
	id := f.commit(m, "x", "d", "d", "e")
	l := f.claimOne("d")
	w, err := f.Store.Load(f.ctx(), l)
	f.must(err)
	f.same("lease", w.Lease, l)
	f.same("message", *w.Message, *m)
	f.same("delivery", w.Delivery, f.get(id).Deliveries[0])
	f.same("state", w.Delivery.State, queue.Active)
	if w.Body != nil {
		f.same("body", string(w.Body), "x")
	}
	_, err = f.Store.Load(f.ctx(), queue.Lease{Key: l.Key, Token: l.Token + 1})
	f.want(err, queue.ErrLeaseLost)
	f.must(f.Store.Record(f.ctx(), l, f.record(deferred(0))))
	_, err = f.Store.Load(f.ctx(), l)
	f.want(err, queue.ErrLeaseLost)
	_, err = f.Store.Load(f.ctx(), queue.Lease{})
	f.want(err, queue.ErrLeaseLost)
}
