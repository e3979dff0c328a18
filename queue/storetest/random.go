package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"postrider/queue"
)

// randomSteps is how many operations are tried with each seed.
const randomSteps = 1000

// player applies random operations to a store and to the model.
type player struct {
	*fixture
	rnd   *rand.Rand
	model *model
	ended []queue.Lease // recorded
}

func random(f *fixture, seed uint64) {
	p := &player{fixture: f, rnd: rand.New(rand.NewPCG(seed, 1)), model: newModel(f.ReportWait)}
	moves := []struct {
		weight int
		play   func()
	}{
		{20, p.commit}, {25, p.claim}, {30, p.record}, {4, p.release}, {3, p.again}, {3, p.suspend}, {4, p.flush},
		{5, p.hold}, {5, p.unhold}, {3, p.delete}, {5, p.conclude}, {8, p.settle}, {2, p.forget}, {1, p.reopen}, {1, p.compact},
	}
	var bag []func()
	for _, m := range moves {
		bag = append(bag, slices.Repeat([]func(){m.play}, m.weight)...)
	}
	for step := range randomSteps {
		f.now = f.now.Add(time.Duration(p.rnd.Int64N(int64(20 * time.Second))))
		bag[p.rnd.IntN(len(bag))]()
		p.model.prune()
		if step%50 == 0 {
			p.compare()
		}
		if f.Failed() {
			f.Fatalf("seed %d, after step %d", seed, step)
		}
	}
	p.compare()
}

// pick chooses a message in the queue, zero if there is none.
func (p *player) pick() queue.ID {
	ids := slices.Sorted(maps.Keys(p.model.messages))
	if len(ids) == 0 {
		return 0
	}
	return ids[p.rnd.IntN(len(ids))]
}

func (p *player) destination() string { return fmt.Sprint("d", p.rnd.IntN(6)) }

func (p *player) commit() {
	if len(p.model.messages) > 60 {
		return
	}
	destinations := make([]string, 1+p.rnd.IntN(4))
	for i := range destinations {
		destinations[i] = p.destination()
	}
	m := p.message(fmt.Sprint("s", p.rnd.IntN(5)), destinations...)
	if p.rnd.IntN(3) == 0 {
		m.SubmissionID = fmt.Sprint(p.rnd.IntN(300))
	}
	body := pattern(p.rnd.IntN(5000))
	if p.rnd.IntN(40) == 0 {
		body = pattern(1<<20 + p.rnd.IntN(1<<20))
	}
	d, err := p.Store.Create(p.ctx())
	p.must(err)
	_, err = d.Write([]byte(body))
	p.must(err)
	if p.rnd.IntN(10) == 0 {
		p.must(d.Abort())
		return
	}
	want := p.model.commit(d.ID(), m, body, destinations)
	id, err := d.Commit(p.ctx(), m, destinations)
	p.must(err)
	p.same("ID", id, want)
}

func (p *player) claim() {
	name, most := p.destination(), 1+p.rnd.IntN(6)
	want := min(most, p.model.claimable(name, p.now))
	ls, err := p.Store.Claim(p.ctx(), queue.Claim{Destination: name, Owner: "random", Now: p.now, Until: p.now.Add(1e6 * time.Hour), Max: most})
	p.must(err)
	p.same("claimed", len(ls), want)
	for _, l := range ls {
		e := p.model.messages[l.Key.Message]
		if e == nil {
			p.Fatalf("leased %v, which is not in the queue", l.Key)
		}
		_, leased := e.leases[l.Key.N]
		d := e.Deliveries[l.Key.N]
		p.same("lease", []any{leased, e.held, d.Destination, d.State == queue.Deferred, d.Due}, []any{false, false, name, l.Retry, l.Due})
		e.leases[l.Key.N] = l
	}
}

// lease chooses a lease given out.
func (p *player) lease() (l queue.Lease, ok bool) {
	var all []queue.Lease
	for _, id := range slices.Sorted(maps.Keys(p.model.messages)) {
		e := p.model.messages[id]
		for _, n := range slices.Sorted(maps.Keys(e.leases)) {
			all = append(all, e.leases[n])
		}
	}
	if len(all) == 0 {
		return l, false
	}
	return all[p.rnd.IntN(len(all))], true
}

// outcomes are random ones for recipients of a delivery.
func (p *player) outcomes(d queue.Delivery, makers ...func(int) queue.Outcome) (all []queue.Outcome) {
	for _, r := range d.Recipients {
		if p.rnd.IntN(4) > 0 {
			all = append(all, makers[p.rnd.IntN(len(makers))](r.Index))
		}
	}
	return all
}

func (p *player) record() {
	l, ok := p.lease()
	if !ok {
		return
	}
	d := p.model.messages[l.Key.Message].Deliveries[l.Key.N]
	r := p.fixture.record(p.outcomes(d, delivered, deferred, bounced, delivered)...)
	r.Uncounted = p.rnd.IntN(5) == 0
	if p.rnd.IntN(5) == 0 && len(p.model.messages[l.Key.Message].Deliveries) < 50 {
		r.Move = map[int]string{d.Recipients[0].Index: p.destination(), 3: p.destination()}
	}
	if m := p.model.messages[l.Key.Message]; p.rnd.IntN(4) == 0 && len(m.Deliveries) < 50 && len(m.Message.Recipients) < 400 {
		r.Added = p.added()
		r.Attempt.Outcomes = append(r.Attempt.Outcomes, expanded(d.Recipients[0].Index))
	}
	p.must(p.Store.Record(p.ctx(), l, r))
	p.model.record(l, r)
	p.ended = append(p.ended, l)
}

// added are random recipients, some of them equal, a few times many.
func (p *player) added() (all []queue.Added) {
	count, names := p.rnd.IntN(4), 6
	if p.rnd.IntN(20) == 0 {
		count, names = 2*queue.DeliverySize, 1000
	}
	for range count {
		a := member(fmt.Sprintf("r%d@%s", p.rnd.IntN(names), []string{"example.net", "EXAMPLE.net", "example.org"}[p.rnd.IntN(3)]), p.destination())
		a.Recipient.Target.Kind = queue.TargetKind(p.rnd.IntN(2))
		a.Unique = p.rnd.IntN(3) > 0
		if p.rnd.IntN(4) == 0 {
			o := []func(int) queue.Outcome{bounced, delivered}[p.rnd.IntN(2)](p.rnd.IntN(3))
			a.Outcome = &o
		}
		all = append(all, a)
	}
	return all
}

func (p *player) release() {
	if l, ok := p.lease(); ok {
		p.must(p.Store.Release(p.ctx(), l))
		delete(p.model.messages[l.Key.Message].leases, l.Key.N)
		p.want(p.Store.Record(p.ctx(), l, p.fixture.record()), queue.ErrLeaseLost)
	}
}

// again records under a lease that was ended by Record before.
func (p *player) again() {
	if len(p.ended) == 0 {
		return
	}
	l := p.ended[p.rnd.IntN(len(p.ended))]
	e := p.model.messages[l.Key.Message]
	if e == nil {
		e = p.model.retired[l.Key.Message]
	}
	if e == nil || e.tokens[l.Key.N] != l.Token {
		return
	}
	p.must(p.Store.Record(p.ctx(), l, p.fixture.record(bounced(0), bounced(1))))
}

func (p *player) suspend() {
	name := p.destination()
	s := queue.Destination{Suspended: p.now.Add(time.Duration(p.rnd.IntN(30)) * time.Second), Reason: "r", Failures: p.rnd.IntN(3)}
	if p.rnd.IntN(3) == 0 {
		s = queue.Destination{}
	}
	p.must(p.Store.Suspend(p.ctx(), name, s.Suspended, s.Reason, s.Failures))
	p.model.suspended[name] = s
}

func (p *player) flush() {
	id, want := p.pick(), 0
	if e := p.model.messages[id]; e != nil && !e.held {
		for _, d := range e.open() {
			if _, leased := e.leases[d.Key.N]; !leased && d.Due.After(p.now) {
				d.Due = p.now
				want++
			}
		}
	}
	n, err := p.Store.Flush(p.ctx(), p.now, id)
	p.must(err)
	p.same("flushed", n, want)
}

func (p *player) hold() {
	id, want := p.pick(), 0
	if e := p.model.messages[id]; e != nil && !e.held && len(e.open()) > 0 {
		e.held, e.HoldReason, want = true, "because", 1
		clear(e.leases)
	}
	n, err := p.Store.Hold(p.ctx(), "because", id)
	p.must(err)
	p.same("held", n, want)
}

func (p *player) unhold() {
	id, want := p.pick(), 0
	if e := p.model.messages[id]; e != nil && e.held {
		e.held, e.HoldReason, want = false, "", 1
	}
	n, err := p.Store.Unhold(p.ctx(), id)
	p.must(err)
	p.same("released", n, want)
}

func (p *player) delete() {
	id := p.pick()
	n, err := p.Store.Delete(p.ctx(), p.now, "note", id)
	p.must(err)
	if id == 0 {
		p.same("deleted", n, 0)
		return
	}
	p.same("deleted", n, 1)
	p.model.delete(id, p.now, "note")
}

func (p *player) conclude() {
	id := p.pick()
	if id == 0 {
		return
	}
	var all []queue.Outcome
	for _, d := range p.model.messages[id].Deliveries {
		all = append(all, p.outcomes(d, bounced, delivered)...)
	}
	p.must(p.Store.Conclude(p.ctx(), id, p.now, "note", all))
	p.model.conclude(id, p.now, all)
}

func (p *player) settle() {
	id := p.pick()
	if id == 0 {
		return
	}
	s := queue.Settlement{Message: id, Now: p.now, Notified: p.rnd.IntN(4) == 0}
	for i := range p.model.messages[id].Message.Recipients {
		if p.rnd.IntN(3) > 0 {
			s.Recipients = append(s.Recipients, i)
		}
	}
	var d queue.Draft
	var m *queue.Message
	switch p.rnd.IntN(4) {
	case 0:
		s.RetryAt = p.now.Add(time.Minute)
	case 1:
		d, m = p.report("Subject: report\n")
		s.Destinations = []string{"back"}
		p.model.commit(d.ID(), m, "Subject: report\n", s.Destinations)
	}
	_, err := p.Store.Settle(p.ctx(), s, d, m)
	p.must(err)
	p.model.settle(s)
}

func (p *player) forget() {
	before := p.now.Add(-time.Hour)
	want := 0
	for id, e := range p.model.retired {
		if e.Ended.Before(before) {
			want++
			delete(p.model.retired, id)
			delete(p.model.submitted, submissionKey(e.Message))
		}
	}
	n, err := p.Store.Forget(p.ctx(), before, 1000)
	p.must(err)
	p.same("forgotten", n, want)
}

func (p *player) reopen() {
	p.restart()
	for _, e := range p.model.messages {
		clear(e.leases)
	}
}

func (p *player) compact() { p.must(p.Store.Compact(p.ctx())) }

// compare demands that the store holds what the model does.
func (p *player) compare() {
	p.Helper()
	ids := slices.Sorted(maps.Keys(p.model.messages))
	p.same("messages", append([]queue.ID{}, p.listAll(queue.Filter{}, 20)...), append([]queue.ID{}, ids...))
	deliveries, size := 0, int64(0)
	for _, id := range ids {
		e := p.model.messages[id]
		p.compareEntry(e.show(), p.get(id))
		p.same("body", string(p.body(id)), e.body)
		p.compareHistory(id, e)
		deliveries += len(e.open())
		size += int64(len(e.body))
	}
	for id, e := range p.model.retired {
		got, err := p.Store.Retired(p.ctx(), id)
		p.must(err)
		p.compareEntry(e.show(), got)
		p.compareHistory(id, e)
	}
	want := p.model.destinations()
	got, err := p.Store.Destinations(p.ctx(), "", 1000)
	p.must(err)
	p.same("destinations", got, want)
	st, err := p.Store.Stats(p.ctx())
	p.must(err)
	p.same("stats", []int64{int64(st.Messages), int64(st.Deliveries), int64(st.Destinations), st.Bytes}, []int64{int64(len(ids)), int64(deliveries), int64(len(want)), size})
	p.compareAgenda(ids)
	p.must(p.Store.Check(p.ctx()))
}

// compareEntry leaves status codes of deleted recipients to the store.
func (p *player) compareEntry(want, got *queue.Entry) {
	p.Helper()
	for i := range want.Deliveries {
		for j, r := range want.Deliveries[i].Recipients {
			if r.Result == queue.Removed && i < len(got.Deliveries) && j < len(got.Deliveries[i].Recipients) {
				want.Deliveries[i].Recipients[j].Status = got.Deliveries[i].Recipients[j].Status
			}
		}
	}
	p.same("message", got.Message, want.Message)
	p.same("entry", *got, *want)
}

func (p *player) compareHistory(id queue.ID, e *entry) {
	p.Helper()
	h, err := p.Store.History(p.ctx(), id)
	p.must(err)
	p.same("attempts", len(h), e.attempts)
}

func (p *player) compareAgenda(ids []queue.ID) {
	p.Helper()
	want := make(map[queue.ID]time.Time)
	for _, id := range ids {
		want[id] = p.model.messages[id].agenda
	}
	items, err := p.Store.Agenda(p.ctx(), p.now.Add(1e5*time.Hour), 10000)
	p.must(err)
	got := make(map[queue.ID]time.Time)
	for i, item := range items {
		got[item.ID] = item.At
		if i > 0 && item.At.Before(items[i-1].At) {
			p.Fatal("agenda is out of order")
		}
	}
	p.same("agenda", got, want)
}
