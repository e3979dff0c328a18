package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

func addedTests() []test {
	return []test{
		{"recipients added are deliveries of their own", addedDeliveries},
		{"a delivery of added recipients has a bounded size", addedSize},
		{"a unique recipient that the message has is left out", addedUnique},
		{"an added recipient may end at once", addedOutcome},
		{"an outcome that does not end an added recipient is refused", addedOpenOutcome},
		{"recording twice adds nothing twice", addedTwice},
		{"a lease lost adds nothing", addedLost},
		{"a message with nothing left but what is left out retires", addedNothing},
		{"a report owed waits for recipients that were added", addedAwaited},
		{"more than can be kept is refused and nothing is recorded", addedTooMany},
		{"attempts see recipients added by others", addedLoaded},
		{"recipients that were added are found", addedFound},
		{"recipients that were added are remembered", addedRetired},
		{"what is added is moved, held and deleted like the rest", addedHandled},
	}
}

// expanded is the outcome of a recipient that others take the place of.
func expanded(i int) queue.Outcome {
	return queue.Outcome{Index: i, Result: queue.Expanded, Status: "2.0.0", Reply: "expanded"}
}

// member is a recipient to be added, if the message has no equal one.
func member(addr, destination string) queue.Added {
	a, err := address.Parse(addr)
	if err != nil {
		panic(err)
	}
	return queue.Added{Unique: true, Destination: destination, Recipient: queue.Recipient{
		Address: a, Via: []address.Address{{Local: "r0", Domain: "example.net"}}, Notify: queue.NotifyNever,
	}}
}

// members are n recipients for a destination.
func members(n int, destination string) (all []queue.Added) {
	for i := range n {
		all = append(all, member("m"+strconv.Itoa(i)+"@example.org", destination))
	}
	return all
}

// expand records that the first recipient became others.
func (f *fixture) expand(destination string, added ...queue.Added) queue.Lease {
	f.Helper()
	l := f.claimOne(destination)
	r := f.record(expanded(0))
	r.Added = added
	f.must(f.Store.Record(f.ctx(), l, r))
	return l
}

func addedDeliveries(f *fixture) {
	m := f.message("s", "d", "e")
	id := f.commit(m, "x", "d", "e")
	owner := address.Address{Local: "owner", Domain: "example.net"}
	full := member("b@example.org", "y")
	full.Recipient.ReversePath, full.Recipient.Original, full.Recipient.Target = &owner, "rfc822;x", queue.Target{Kind: queue.TargetCommand, Value: "v", User: "u", Extension: "e"}
	added := []queue.Added{member("a@example.org", "x"), full, member("c@example.org", "x"), member("f@example.org", "e")}
	var heard []queue.Destination
	stop := f.Store.Watch(func(ds []queue.Destination) { heard = append(heard, ds...) })
	f.now = f.now.Add(time.Minute)
	f.expand("d", added...)
	stop()
	want := *m
	for _, a := range added {
		want.Recipients = append(want.Recipients, a.Recipient)
	}
	for range 2 {
		e := f.get(id)
		f.same("message", *e.Message, want)
		f.same("body", string(f.body(id)), "x")
		f.same("the one replaced", []any{e.Deliveries[0].State, e.Deliveries[0].Recipients[0].Result}, []any{queue.Done, queue.Expanded})
		f.same("the other one", []any{e.Deliveries[1].State, e.Deliveries[1].Recipients}, []any{queue.Queued, []queue.DeliveryRecipient{{Index: 1}}})
		f.same("new ones", e.Deliveries[2:], []queue.Delivery{
			{Key: queue.DeliveryKey{Message: id, N: 2}, Destination: "x", State: queue.Queued, Due: f.now, Recipients: []queue.DeliveryRecipient{{Index: 2}, {Index: 4}}},
			{Key: queue.DeliveryKey{Message: id, N: 3}, Destination: "y", State: queue.Queued, Due: f.now, Recipients: []queue.DeliveryRecipient{{Index: 3}}},
			{Key: queue.DeliveryKey{Message: id, N: 4}, Destination: "e", State: queue.Queued, Due: f.now, Recipients: []queue.DeliveryRecipient{{Index: 5}}},
		})
		f.restart()
	}
	for _, name := range []string{"x", "y", "e"} {
		if !slices.ContainsFunc(heard, func(d queue.Destination) bool { return d.Name == name && !d.Due.After(f.now) && d.Count > 0 }) {
			f.Errorf("nobody was told of %s: %+v", name, heard)
		}
	}
	f.same("claimed", []int{len(f.claim("x", 9)), len(f.claim("y", 9)), len(f.claim("e", 9)), len(f.claim("d", 9))}, []int{1, 1, 2, 0})
}

func addedSize(f *fixture) {
	id := f.accept("s", "d")
	added := members(2*queue.DeliverySize+50, "x")
	added = append(added[:120:120], append([]queue.Added{member("z@example.org", "y")}, added[120:]...)...)
	f.expand("d", added...)
	ds := f.get(id).Deliveries[1:]
	var shape []any
	index := 1
	for _, d := range ds {
		shape = append(shape, d.Destination, len(d.Recipients))
	}
	f.same("deliveries", shape, []any{"x", queue.DeliverySize, "x", queue.DeliverySize, "y", 1, "x", 50})
	f.same("first of the second", ds[1].Recipients[0].Index, index+queue.DeliverySize)
	f.same("after the other one", ds[1].Recipients[20].Index, index+121)
	f.same("count", f.destination("x").Count, 3)
}

func addedUnique(f *fixture) {
	with := func(a queue.Added, t queue.Target) queue.Added {
		a.Recipient.Target = t
		return a
	}
	often := member("r0@example.net", "x")
	often.Unique = false
	mailbox := queue.Target{Kind: queue.TargetMailbox, Value: "r0"}
	id := f.accept("s", "d", "d")
	f.expand("d",
		member("r1@EXAMPLE.net", "x"), // the message has it
		member("R1@example.net", "x"), // another local part
		member("new@example.org", "x"),
		member("new@Example.Org", "y"), // has just been added
		with(member("r0@example.net", "x"), mailbox),
		with(member("r0@Example.net", "x"), mailbox),
		with(member("r0@example.net", "x"), queue.Target{Kind: queue.TargetMailbox, Value: "r0", Extension: "e"}),
		often, often,
	)
	var got []string
	for _, r := range f.get(id).Message.Recipients[2:] {
		got = append(got, fmt.Sprint(r.Address, " ", r.Target.Value, r.Target.Extension))
	}
	f.same("recipients", got, []string{"R1@example.net ", "new@example.org ", "r0@example.net r0", "r0@example.net r0e", "r0@example.net ", "r0@example.net "})
	f.same("left out", f.destination("y").Count, 0)
}

func addedOutcome(f *fixture) {
	id := f.accept("s", "d")
	gone, kept, here := member("gone@example.org", "x"), member("kept@example.org", "y"), member("here@example.org", "y")
	no, yes := bounced(77), delivered(0)
	gone.Outcome, here.Outcome = &no, &yes
	f.now = f.now.Add(time.Minute)
	f.expand("d", gone, kept, here, gone)
	f.same("the caller's", no.Index, 77)
	f.restart()
	ds := f.get(id).Deliveries
	f.same("ended", []any{len(ds), ds[1].State, ds[1].Attempts, ds[1].Recipients}, []any{3, queue.Done, 0, []queue.DeliveryRecipient{
		{Index: 1, Result: queue.Failed, Reply: no.Reply, Status: no.Status, Code: no.Code, Remote: no.Remote, Owed: true, At: f.now}}})
	f.same("ended beside another", []any{ds[2].State, ds[2].Recipients[0].Result, ds[2].Recipients[1].Result}, []any{queue.Queued, queue.Pending, queue.Delivered})
	f.same("destinations", []int{f.destination("x").Count, f.destination("y").Count}, []int{0, 1})
	f.same("agenda", f.agenda(id), f.now.Add(f.ReportWait))
	h, err := f.Store.History(f.ctx(), id)
	f.must(err)
	no.Index, yes.Index = 1, 3
	f.same("history", h[0].Outcomes, []queue.Outcome{expanded(0), no, yes})
	f.must(f.Store.Record(f.ctx(), f.claimOne("y"), f.record(bounced(3), delivered(2))))
	f.same("owed", f.agenda(id), f.now)
	_, err = f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Recipients: []int{1}}, nil, nil)
	f.must(err)
	_, err = f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
}

func addedOpenOutcome(f *fixture) {
	id := f.accept("s", "d")
	later, bad := member("a@example.org", "x"), deferred(0)
	later.Outcome = &bad
	l, r := f.claimOne("d"), f.record(expanded(0))
	for _, added := range []queue.Added{later, member("a@example.org", "")} {
		r.Added = []queue.Added{added}
		if f.Store.Record(f.ctx(), l, r) == nil {
			f.Errorf("recorded %+v", added)
		}
	}
	f.same("recipients", len(f.get(id).Message.Recipients), 1)
	r.Added = nil
	f.must(f.Store.Record(f.ctx(), l, r))
}

func addedTwice(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	often := member("a@example.org", "x")
	often.Unique = false
	r := f.record(expanded(0))
	r.Added = []queue.Added{often}
	f.must(f.Store.Record(f.ctx(), l, r))
	want := f.get(id)
	for range 2 {
		f.must(f.Store.Record(f.ctx(), l, r))
		f.same("entry", f.get(id), want)
		f.restart()
	}
	f.must(f.Store.Record(f.ctx(), f.claimOne("x"), f.record(delivered(1))))
	f.must(f.Store.Record(f.ctx(), l, r))
	_, err := f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
}

func addedLost(f *fixture) {
	id := f.accept("s", "d")
	l := f.claimOne("d")
	f.must(f.Store.Release(f.ctx(), l))
	r := f.record(expanded(0))
	r.Added = members(2, "x")
	f.want(f.Store.Record(f.ctx(), l, r), queue.ErrLeaseLost)
	f.same("recipients", len(f.get(id).Message.Recipients), 1)
	f.same("count", f.destination("x").Count, 0)
}

func addedNothing(f *fixture) {
	id := f.accept("s", "d")
	f.expand("d", member("r0@example.net", "x"))
	e, err := f.Store.Retired(f.ctx(), id)
	f.must(err)
	f.same("recipients", []int{len(e.Message.Recipients), len(e.Deliveries)}, []int{1, 1})
	id = f.accept("s", "d")
	ended := member("a@example.org", "x")
	no := bounced(0)
	no.Owed = false
	ended.Outcome = &no
	l := f.expand("d", ended)
	e, err = f.Store.Retired(f.ctx(), id)
	f.must(err)
	f.same("result", e.Deliveries[1].Recipients[0].Result, queue.Failed)
	f.must(f.Store.Record(f.ctx(), l, f.record()))
	st, err := f.Store.Stats(f.ctx())
	f.must(err)
	f.same("stats", []int{st.Messages, st.Deliveries, st.Destinations}, []int{0, 0, 0})
}

func addedAwaited(f *fixture) {
	id := f.accept("s", "d")
	r := f.record(queue.Outcome{Result: queue.Expanded, Status: "2.0.0", Owed: true})
	r.Added = members(1, "x")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), r))
	f.same("agenda", f.agenda(id), f.now.Add(f.ReportWait))
	f.now = f.now.Add(time.Second)
	f.must(f.Store.Record(f.ctx(), f.claimOne("x"), f.record(deferred(1))))
	f.same("agenda then", f.agenda(id), f.now)
}

func addedTooMany(f *fixture) {
	id := f.accept("s", "d", "e")
	l, r := f.claimOne("d"), f.record(expanded(0))
	for i := range 1 << 16 {
		r.Added = append(r.Added, queue.Added{Destination: strconv.Itoa(i)})
	}
	want := f.get(id)
	f.want(f.Store.Record(f.ctx(), l, r), queue.ErrTooMany)
	f.same("entry", f.get(id), want)
	r.Added = r.Added[:3]
	f.must(f.Store.Record(f.ctx(), l, r))
	f.same("deliveries", len(f.get(id).Deliveries), 5)
}

func addedLoaded(f *fixture) {
	for _, n := range []int{1, 3 * queue.DeliverySize} {
		id := f.accept("s", "d", "e")
		before := f.claimOne("e")
		early, err := f.Store.Load(f.ctx(), before)
		f.must(err)
		f.expand("d", members(n, "x")...)
		f.same("as it was", len(early.Message.Recipients), 2)
		late, err := f.Store.Load(f.ctx(), before)
		f.must(err)
		f.same("read again", len(late.Message.Recipients), n+2)
		for _, l := range f.claim("x", 10) {
			w, err := f.Store.Load(f.ctx(), l)
			f.must(err)
			f.same("message", w.Message, f.get(id).Message)
			r := f.record()
			for _, rcpt := range w.Delivery.Recipients {
				r.Attempt.Outcomes = append(r.Attempt.Outcomes, expanded(rcpt.Index))
			}
			r.Added = []queue.Added{member(fmt.Sprintf("second%d@example.org", l.Key.N), "y")}
			f.must(f.Store.Record(f.ctx(), l, r))
			f.same("grown", len(f.get(id).Message.Recipients), len(w.Message.Recipients)+1)
		}
		for _, l := range f.claim("y", 10) {
			w, err := f.Store.Load(f.ctx(), l)
			f.must(err)
			f.same("message in the end", w.Message, f.get(id).Message)
		}
		f.must(f.Store.Record(f.ctx(), before, f.record(delivered(1))))
	}
}

func addedFound(f *fixture) {
	id := f.accept("s", "d")
	f.accept("s", "d")
	f.must(f.Store.Release(f.ctx(), f.claim("d", 2)[1:]...))
	f.restart()
	l := f.claim("d", 2)
	i := slices.IndexFunc(l, func(l queue.Lease) bool { return l.Key.Message == id })
	r := f.record(expanded(0))
	r.Added = []queue.Added{member("found@else.example", "x")}
	f.must(f.Store.Record(f.ctx(), l[i], r))
	for _, filter := range []queue.Filter{
		{Recipient: "found@ELSE.example"}, {Domain: "else.example"}, {RecipientContains: "found"}, {Sender: "@example.com", Domain: "else.example"},
	} {
		f.same("found", f.listAll(filter, 10), []queue.ID{id})
	}
	f.same("its own", len(f.listAll(queue.Filter{Recipient: "r0@example.net"}, 10)), 2)
	written := queue.Filter{Recipient: "found@else.example", Written: true}
	f.same("not written by the sender", len(f.listAll(written, 10)), 0)
}

func addedRetired(f *fixture) {
	id := f.accept("s", "d")
	f.expand("d", members(queue.DeliverySize+1, "x")...)
	for _, l := range f.claim("x", 9) {
		w, err := f.Store.Load(f.ctx(), l)
		f.must(err)
		r := f.record()
		for _, rcpt := range w.Delivery.Recipients {
			r.Attempt.Outcomes = append(r.Attempt.Outcomes, delivered(rcpt.Index))
		}
		f.must(f.Store.Record(f.ctx(), l, r))
	}
	f.restart()
	e, err := f.Store.Retired(f.ctx(), id)
	f.must(err)
	f.same("remembered", []any{len(e.Message.Recipients), len(e.Deliveries), e.Message.Recipients[1].Via[0].Local}, []any{queue.DeliverySize + 2, 3, "r0"})
}

func addedHandled(f *fixture) {
	id := f.accept("s", "d")
	f.expand("d", members(3, "x")...)
	r := f.record(deferred(1))
	r.Move = map[int]string{2: "y"}
	f.must(f.Store.Record(f.ctx(), f.claimOne("x"), r))
	f.must(f.Store.Compact(f.ctx()))
	n, err := f.Store.Hold(f.ctx(), "h", id)
	f.must(err)
	f.same("held", []int{n, len(f.claim("y", 1))}, []int{1, 0})
	_, err = f.Store.Unhold(f.ctx(), id)
	f.must(err)
	n, err = f.Store.Flush(f.ctx(), f.now, id)
	f.must(err)
	f.same("flushed", []int{n, len(f.claim("x", 9)), len(f.claim("y", 9))}, []int{1, 1, 1})
	n, err = f.Store.Delete(f.ctx(), f.now, "note", id)
	f.must(err)
	f.same("deleted", n, 1)
	e, err := f.Store.Retired(f.ctx(), id)
	f.must(err)
	for _, d := range e.Deliveries[1:] {
		for _, rcpt := range d.Recipients {
			f.same("result", rcpt.Result, queue.Removed)
		}
	}
}
