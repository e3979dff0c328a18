package storetest

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

func readTests() []test {
	return []test{
		{"what is not there is not found", readNotFound},
		{"a body that goes away while it is read is an error", readVanishing},
		{"List goes through all in order, in steps of any size", listSteps},
		{"List filters", listFilters},
		{"Destinations are in order of name and bounded", readDestinations},
		{"Waking destinations are in order of time and bounded", readWaking},
		{"a summary counts and knows the earliest due", readSummary},
		{"Watch tells of every change in order", watchChanges},
		{"Stats counts", readStats},
		{"Survey counts by destination, age, sender and reason", readSurvey},
		{"List finds domains and recipients however they are written", listDomains},
		{"Forget removes what ended before, so many at a time", forgetOld},
	}
}

func readNotFound(f *fixture) {
	const id = 4711
	_, err := f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	_, err = f.Store.Body(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	_, err = f.Store.History(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	_, err = f.Store.Retired(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	_, err = f.Store.Retired(f.ctx(), f.accept("s", "d"))
	f.want(err, queue.ErrNotFound)
}

func readVanishing(f *fixture) {
	id := f.commit(f.message("s", "d"), pattern(2<<20), "d")
	r, err := f.Store.Body(f.ctx(), id)
	f.must(err)
	_, err = io.ReadFull(r, make([]byte, 1000))
	f.must(err)
	_, err = f.Store.Delete(f.ctx(), f.now, "", id)
	f.must(err)
	if n, err := io.Copy(io.Discard, r); err == nil {
		f.Errorf("reading ended well after %d bytes", n)
	}
	f.must(r.Close())
}

// listAll lists in steps.
func (f *fixture) listAll(filter queue.Filter, step int) []queue.ID {
	f.Helper()
	var ids []queue.ID
	var after queue.ID
	for {
		entries, next, err := f.Store.List(f.ctx(), filter, after, step)
		f.must(err)
		if len(entries) > step {
			f.Fatalf("%d entries, at most %d were asked for", len(entries), step)
		}
		for _, e := range entries {
			ids = append(ids, e.Message.ID)
		}
		if next == 0 {
			return ids
		}
		if next <= after {
			f.Fatalf("next %s is not after %s", next, after)
		}
		after = next
	}
}

func listSteps(f *fixture) {
	var want []queue.ID
	for range 57 {
		want = append(want, f.accept("s", "d"))
	}
	for _, step := range []int{1, 2, 16, 19, 56, 57, 58, 5000} {
		f.same(fmt.Sprintf("steps of %d", step), f.listAll(queue.Filter{}, step), want)
		f.same(fmt.Sprintf("by ID, steps of %d", step), f.listAll(queue.Filter{IDs: []queue.ID{want[30], 1, want[3], want[3]}}, step), []queue.ID{want[3], want[30]})
	}
}

func listFilters(f *fixture) {
	uid := 77
	var ids []queue.ID
	for i := range 60 {
		m := f.message([]string{"anna", "Bert", ""}[i%3], "d")
		if i%3 == 2 {
			m.Envelope.ReversePath = address.Address{}
		}
		m.Origin.UID = uid + i%2
		m.Recipients[0].Address = address.Address{Local: fmt.Sprintf("to%d", i%5), Domain: fmt.Sprintf("d%d.example", i%4)}
		m.Arrival = f.now.Add(time.Duration(i) * time.Second)
		ids = append(ids, f.commit(m, "x", "d"))
	}
	_, err := f.Store.Hold(f.ctx(), "h", ids[10], ids[20])
	f.must(err)
	all := func(ok func(i int) bool) []queue.ID {
		return slices.DeleteFunc(slices.Clone(ids), func(id queue.ID) bool { return !ok(slices.Index(ids, id)) })
	}
	for name, tt := range map[string]struct {
		filter queue.Filter
		ok     func(i int) bool
	}{
		"sender":        {queue.Filter{Sender: "bert@EXAMPLE.com"}, func(i int) bool { return i%3 == 1 }},
		"sender domain": {queue.Filter{Sender: "@Example.Com"}, func(i int) bool { return i%3 != 2 }},
		"null sender":   {queue.Filter{Sender: "<>"}, func(i int) bool { return i%3 == 2 }},
		"recipient":     {queue.Filter{Recipient: "to3@d1.example"}, func(i int) bool { return i%5 == 3 && i%4 == 1 }},
		"domain":        {queue.Filter{Domain: "D2.example"}, func(i int) bool { return i%4 == 2 }},
		"state":         {queue.Filter{State: queue.Held}, func(i int) bool { return i == 10 || i == 20 }},
		"uid":           {queue.Filter{UID: &uid}, func(i int) bool { return i%2 == 0 }},
		"before":        {queue.Filter{Before: f.now.Add(7 * time.Second)}, func(i int) bool { return i < 7 }},
		"after":         {queue.Filter{After: f.now.Add(7 * time.Second), Sender: "<>"}, func(i int) bool { return i > 7 && i%3 == 2 }},
		"not":           {queue.Filter{RecipientContains: "TO1", Not: true}, func(i int) bool { return i%5 != 1 }},
		"nobody":        {queue.Filter{Sender: "x@nowhere"}, func(int) bool { return false }},
	} {
		for _, step := range []int{1, 7, 1000} {
			f.same(name, append([]queue.ID{}, f.listAll(tt.filter, step)...), all(tt.ok))
		}
	}
}

func names(ds []queue.Destination) []string {
	out := []string{}
	for _, d := range ds {
		out = append(out, d.Name)
	}
	return out
}

func readDestinations(f *fixture) {
	f.accept("s", "b", "a", "ab", "\x00", "c")
	for _, tt := range []struct {
		after string
		most  int
		want  []string
	}{
		{"", 10, []string{"\x00", "a", "ab", "b", "c"}},
		{"a", 2, []string{"ab", "b"}},
		{"aa", 1, []string{"ab"}},
		{"c", 10, []string{}},
	} {
		ds, err := f.Store.Destinations(f.ctx(), tt.after, tt.most)
		f.must(err)
		f.same("after "+tt.after, names(ds), tt.want)
	}
}

func readWaking(f *fixture) {
	base := f.now
	for i, name := range []string{"c", "a", "b"} {
		f.now = base.Add(time.Duration(i) * time.Minute)
		f.accept("s", name)
	}
	f.must(f.Store.Suspend(f.ctx(), "c", base.Add(90*time.Second), "", 0))
	held := f.accept("s", "held")
	_, err := f.Store.Hold(f.ctx(), "", held)
	f.must(err)
	f.restart()
	for _, tt := range []struct {
		until time.Duration
		most  int
		want  []string
	}{
		{0, 10, []string{}},
		{time.Minute, 10, []string{"a"}},
		{time.Hour, 10, []string{"a", "c", "b"}},
		{time.Hour, 2, []string{"a", "c"}},
	} {
		ds, err := f.Store.Waking(f.ctx(), base.Add(tt.until), tt.most)
		f.must(err)
		f.same("waking", names(ds), tt.want)
	}
}

func readSummary(f *fixture) {
	base := f.now
	first := f.accept("s", "d")
	f.now = f.now.Add(time.Minute)
	second := f.accept("t", "d")
	f.same("both", f.destination("d"), queue.Destination{Name: "d", Count: 2, Due: base})
	f.claim("d", 2)
	f.same("leased ones count", f.destination("d"), queue.Destination{Name: "d", Count: 2, Due: base})
	_, err := f.Store.Hold(f.ctx(), "", first)
	f.must(err)
	f.same("held ones have no due", f.destination("d"), queue.Destination{Name: "d", Count: 2, Due: f.now})
	_, err = f.Store.Hold(f.ctx(), "", second)
	f.must(err)
	f.same("all held", f.destination("d"), queue.Destination{Name: "d", Count: 2})
	_, err = f.Store.Delete(f.ctx(), f.now, "", first, second)
	f.must(err)
	f.same("gone", f.destination("d"), queue.Destination{})
}

func watchChanges(f *fixture) {
	var got []queue.Destination
	stop := f.Store.Watch(func(ds []queue.Destination) { got = append(got, ds...) })
	f.accept("s", "d")
	f.must(f.Store.Suspend(f.ctx(), "d", f.now.Add(time.Hour), "down", 2))
	f.must(f.Store.Suspend(f.ctx(), "d", time.Time{}, "", 0))
	l := f.claimOne("d")
	f.must(f.Store.Record(f.ctx(), l, f.record(delivered(0))))
	stop()
	f.accept("s", "d")
	f.same("summaries", got, []queue.Destination{
		{Name: "d", Count: 1, Due: f.now},
		{Name: "d", Count: 1, Due: f.now, Suspended: f.now.Add(time.Hour), Reason: "down", Failures: 2},
		{Name: "d", Count: 1, Due: f.now},
		{Name: "d"},
	})
}

func readStats(f *fixture) {
	f.commit(f.message("s", "a", "b"), pattern(100), "a", "b")
	id := f.commit(f.message("s", "a"), pattern(11), "a")
	for range 2 {
		st, err := f.Store.Stats(f.ctx())
		f.must(err)
		f.same("counts", []int64{int64(st.Messages), int64(st.Deliveries), int64(st.Destinations), st.Bytes}, []int64{2, 3, 2, 111})
		f.restart()
	}
	_, err := f.Store.Delete(f.ctx(), f.now, "", id)
	f.must(err)
	st, err := f.Store.Stats(f.ctx())
	f.must(err)
	f.same("counts", []int64{int64(st.Messages), int64(st.Deliveries), int64(st.Destinations), st.Bytes}, []int64{1, 2, 2, 100})
}

func forgetOld(f *fixture) {
	var ids []queue.ID
	for range 4 {
		ids = append(ids, f.accept("s", "d"))
		f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(delivered(0))))
		f.now = f.now.Add(time.Minute)
	}
	left := func() (n int) {
		for _, id := range ids {
			if _, err := f.Store.History(f.ctx(), id); err == nil {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		before  time.Duration
		most    int
		removed int
		left    int
	}{{-4, 10, 0, 4}, {-2, 1, 1, 3}, {-2, 10, 1, 2}, {0, 0, 0, 2}, {0, 10, 2, 0}} {
		n, err := f.Store.Forget(f.ctx(), f.now.Add(tt.before*time.Minute), tt.most)
		f.must(err)
		f.same("removed, left", []int{n, left()}, []int{tt.removed, tt.left})
	}
}

func readSurvey(f *fixture) {
	sv, err := f.Store.Survey(f.ctx(), []time.Time{f.now}, 10)
	f.must(err)
	f.same("of nothing", len(sv.Destinations)+len(sv.Senders)+len(sv.Reasons)+sv.Tried, 0)
	base := f.now
	f.accept("often", "a", "b")
	f.accept("often", "a")
	f.must(f.Store.Record(f.ctx(), f.claim("a", 1)[0], f.record(deferred(0))))
	f.now = base.Add(time.Minute)
	held := f.accept("once", "a")
	f.accept("often", "b")
	_, err = f.Store.Hold(f.ctx(), "", held)
	f.must(err)
	f.now = base.Add(2 * time.Minute)
	f.accept("third", "c", "c")
	f.claimOne("c")
	until := f.now.Add(time.Hour)
	f.must(f.Store.Suspend(f.ctx(), "c", until, "moving", queue.ByHand))
	sv, err = f.Store.Survey(f.ctx(), []time.Time{base.Add(time.Minute), base}, 2)
	f.must(err)
	type row struct {
		name        string
		count, held int
		ages        string
		byHand      bool
	}
	var rows []row
	for _, d := range sv.Destinations {
		rows = append(rows, row{d.Name, d.Count, d.Held, fmt.Sprint(d.Ages), d.ByHand(f.now)})
	}
	f.same("destinations", rows, []row{{"a", 3, 1, "[0 0 2]", false}, {"b", 2, 0, "[0 1 1]", false}, {"c", 1, 0, "[1 0 0]", true}})
	f.same("senders", sv.Senders, []queue.Tally{{Value: "often@example.com", Count: 3}, {Value: "once@example.com", Count: 1}})
	f.same("reasons", sv.Reasons, []queue.Tally{{Value: "451 4.3.0 later\xff", Count: 1}})
	f.same("tried", []int{sv.Tried, sv.Sampled}, []int{1, 1})
}

func listDomains(f *fixture) {
	domains := []string{
		"d.example", "D.Example", "xd.example", "d.example.net", "[192.0.2.1]", "d\u00fc.example", "D\u00dc.example",
		strings.Repeat("d", 63) + ".example", strings.Repeat("D", 63) + ".example", strings.Repeat("e.", 127) + "x",
	}
	for i, domain := range domains {
		m := f.message("s", "one", "two")
		m.Recipients[1].Address = address.Address{Local: fmt.Sprintf("l%d", i%2), Domain: domain}
		m.Recipients[0].Address.Local = "d.example"
		f.commit(m, "x\n\n", "one", "two")
	}
	all := f.listAll(queue.Filter{}, 100)
	for _, domain := range append(domains, "none.example") {
		for _, filter := range []queue.Filter{{Domain: domain}, {Recipient: "l0@" + domain}, {Recipient: "l1@" + domain, Sender: "@example.com"}} {
			var want []queue.ID
			for _, id := range all {
				if filter.Match(f.get(id)) {
					want = append(want, id)
				}
			}
			for _, step := range []int{1, 3, 100} {
				f.same(fmt.Sprintf("%+v", filter), f.listAll(filter, step), want)
			}
		}
	}
}
