package storetest

import (
	"io"
	"time"

	"postrider/queue"
)

func reportTests() []test {
	return []test{
		{"the agenda is the notice, then expiry", agendaSchedule},
		{"a report owed is due at once when nobody else is to be tried", agendaOwed},
		{"a report owed waits for others untried or leased", agendaWaits},
		{"a report owed does not wait for the delivery it comes from", agendaOwn},
		{"waiting ends with the last of them", agendaWaitEnds},
		{"the agenda is in order and bounded", agendaOrder},
		{"Settle clears what it names and retires what has ended", settleClears},
		{"Settle stores the report in the same commit", settleReport},
		{"Settle without its message stores nothing", settleNotFound},
		{"RetryAt brings the message up again and clears nothing", settleRetry},
		{"part of what is owed may be settled", settlePart},
		{"the note is in the history", settleNote},
	}
}

func agendaSchedule(f *fixture) {
	m := f.message("s", "d")
	id := f.commit(m, "x", "d")
	f.same("notice", f.agenda(id), m.NoticeAt)
	_, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: m.NoticeAt, Notified: true}, nil, nil)
	f.must(err)
	f.same("notified", f.get(id).Notified, true)
	f.restart()
	f.same("expiry", f.agenda(id), m.Expires)
	never := f.message("s", "d")
	never.NoticeAt = time.Time{}
	f.commit(never, "x", "d")
	f.same("no notice", f.agenda(never.ID), never.Expires)
}

func agendaOwed(f *fixture) {
	id := f.accept("s", "d", "e")
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(deferred(1))))
	f.now = f.now.Add(time.Minute)
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	f.same("agenda", f.agenda(id), f.now)
	f.now = f.now.Add(time.Hour)
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(deferred(1))))
	f.same("never later than before", f.agenda(id), f.now.Add(-time.Hour))
}

func agendaWaits(f *fixture) {
	id := f.accept("s", "d", "e")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	f.same("untried", f.agenda(id), f.now.Add(f.ReportWait))
	id = f.accept("s", "g", "h")
	f.must(f.Store.Record(f.ctx(), f.claimOne("h"), f.record(deferred(1))))
	f.now = f.now.Add(time.Hour)
	f.claimOne("h")
	f.must(f.Store.Record(f.ctx(), f.claimOne("g"), f.record(bounced(0))))
	f.same("leased", f.agenda(id), f.now.Add(f.ReportWait))
}

func agendaOwn(f *fixture) {
	id := f.accept("s", "d", "d")
	r := f.record(bounced(0))
	r.Uncounted = true
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), r))
	f.same("delivery", f.state(id), queue.Queued)
	f.same("agenda", f.agenda(id), f.now)
}

func agendaWaitEnds(f *fixture) {
	id := f.accept("s", "d", "e")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	f.now = f.now.Add(time.Second)
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(deferred(1))))
	f.same("agenda", f.agenda(id), f.now)
}

func agendaOrder(f *fixture) {
	var want []queue.AgendaItem
	for i := range 5 {
		m := f.message("s", "d")
		m.NoticeAt = f.now.Add(time.Duration(5-i) * time.Minute)
		want = append([]queue.AgendaItem{{ID: f.commit(m, "x", "d"), At: m.NoticeAt}}, want...)
	}
	for _, until := range []int{0, 3, 5} {
		got, err := f.Store.Agenda(f.ctx(), f.now.Add(time.Duration(until)*time.Minute), 10)
		f.must(err)
		f.same("until", got, append([]queue.AgendaItem(nil), want[:until]...))
	}
	got, err := f.Store.Agenda(f.ctx(), f.now.Add(time.Hour), 2)
	f.must(err)
	f.same("bounded", got, want[:2])
}

func settleClears(f *fixture) {
	id := f.accept("s", "d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	e := f.get(id)
	f.same("owed", []any{e.Deliveries[0].State, e.Deliveries[0].Recipients[0].Owed}, []any{queue.Done, true})
	f.same("no mail left for it", f.destination("d").Count, 0)
	got, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Recipients: []int{0}}, nil, nil)
	f.must(err)
	f.same("no report", got, queue.ID(0))
	_, err = f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	e, err = f.Store.Retired(f.ctx(), id)
	f.must(err)
	f.same("result", e.Deliveries[0].Recipients[0].Result, queue.Failed)
}

// report makes a draft of a report.
func (f *fixture) report(body string) (queue.Draft, *queue.Message) {
	f.Helper()
	d, err := f.Store.Create(f.ctx())
	f.must(err)
	_, err = io.WriteString(d, body)
	f.must(err)
	m := f.message("", "back")
	m.Kind = queue.Report
	return d, m
}

func settleReport(f *fixture) {
	id := f.accept("s", "d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	body := pattern(2 << 20)
	d, m := f.report(body)
	m.Reports = id
	rid, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Recipients: []int{0}, Destinations: []string{"back"}}, d, m)
	f.must(err)
	f.same("ID", []queue.ID{rid, m.ID}, []queue.ID{d.ID(), d.ID()})
	f.restart()
	f.same("body", string(f.body(rid)), body)
	f.same("reports", f.get(rid).Message.Reports, id)
	_, err = f.Store.Get(f.ctx(), id)
	f.want(err, queue.ErrNotFound)
	f.same("to be sent", f.claimOne("back").Key.Message, rid)
}

func settleNotFound(f *fixture) {
	_, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: 77, Now: f.now}, nil, nil)
	f.want(err, queue.ErrNotFound)
	d, m := f.report(pattern(2 << 20))
	_, err = f.Store.Settle(f.ctx(), queue.Settlement{Message: 77, Now: f.now, Destinations: []string{"back"}}, d, m)
	f.want(err, queue.ErrNotFound)
	_, err = f.Store.Get(f.ctx(), d.ID())
	f.want(err, queue.ErrNotFound)
}

func settleRetry(f *fixture) {
	id := f.accept("s", "d")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0))))
	at := f.now.Add(10 * time.Minute)
	_, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Recipients: []int{0}, Notified: true, RetryAt: at}, nil, nil)
	f.must(err)
	f.same("agenda", f.agenda(id), at)
	e := f.get(id)
	f.same("nothing cleared", []bool{e.Deliveries[0].Recipients[0].Owed, e.Notified}, []bool{true, false})
}

func settlePart(f *fixture) {
	id := f.accept("s", "d", "d", "e")
	f.must(f.Store.Record(f.ctx(), f.claimOne("d"), f.record(bounced(0), bounced(1))))
	f.now = f.now.Add(time.Second)
	f.must(f.Store.Record(f.ctx(), f.claimOne("e"), f.record(deferred(2))))
	_, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Recipients: []int{1, 2, 5}}, nil, nil)
	f.must(err)
	rs := f.get(id).Deliveries[0].Recipients
	f.same("owed", []bool{rs[0].Owed, rs[1].Owed}, []bool{true, false})
	f.same("agenda", f.agenda(id), f.now)
	_, err = f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Recipients: []int{0}}, nil, nil)
	f.must(err)
	f.same("agenda afterwards", f.agenda(id), f.get(id).Message.NoticeAt)
}

func settleNote(f *fixture) {
	id := f.accept("s", "d")
	_, err := f.Store.Settle(f.ctx(), queue.Settlement{Message: id, Now: f.now, Notified: true, Note: "told of the delay"}, nil, nil)
	f.must(err)
	h, err := f.Store.History(f.ctx(), id)
	f.must(err)
	f.same("history", h, []queue.Attempt{{Started: f.now, Note: "told of the delay"}})
}
