package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"postrider/queue"
)

func isLost(err error) bool { return errors.Is(err, queue.ErrLeaseLost) }

// model is what a store should hold, kept in the simplest way.
type model struct {
	wait      time.Duration
	messages  map[queue.ID]*entry
	retired   map[queue.ID]*entry
	submitted map[string]queue.ID
	suspended map[string]queue.Destination
}

// entry is a message. Its deliveries keep their places; one without recipients is
// not shown.
type entry struct {
	queue.Entry
	body     string
	held     bool
	agenda   time.Time
	attempts int
	leases   map[uint16]queue.Lease
	tokens   map[uint16]uint64 // recorded last
}

func newModel(wait time.Duration) *model {
	return &model{wait, make(map[queue.ID]*entry), make(map[queue.ID]*entry), make(map[string]queue.ID), make(map[string]queue.Destination)}
}

func submissionKey(m *queue.Message) string { return fmt.Sprint(m.Origin.UID, " ", m.SubmissionID) }

// commit stores a message and returns the ID to be expected.
func (m *model) commit(id queue.ID, msg *queue.Message, body string, destinations []string) queue.ID {
	if msg.SubmissionID != "" {
		if first, ok := m.submitted[submissionKey(msg)]; ok {
			return first
		}
		m.submitted[submissionKey(msg)] = id
	}
	c := *msg
	c.ID, c.Size = id, int64(len(body))
	e := &entry{Entry: queue.Entry{Message: &c}, body: body, leases: make(map[uint16]queue.Lease), tokens: make(map[uint16]uint64)}
	for i, name := range destinations {
		n := slices.IndexFunc(e.Deliveries, func(d queue.Delivery) bool { return d.Destination == name })
		if n < 0 {
			n = len(e.Deliveries)
			e.Deliveries = append(e.Deliveries, queue.Delivery{
				Key: queue.DeliveryKey{Message: id, N: uint16(n)}, Destination: name, State: queue.Queued, Due: msg.Arrival,
			})
		}
		e.Deliveries[n].Recipients = append(e.Deliveries[n].Recipients, queue.DeliveryRecipient{Index: i})
	}
	e.agenda = e.schedule()
	m.messages[id] = e
	return id
}

func (e *entry) schedule() time.Time {
	if e.Notified || e.Message.NoticeAt.IsZero() || e.Message.Expires.Before(e.Message.NoticeAt) {
		return e.Message.Expires
	}
	return e.Message.NoticeAt
}

func (e *entry) owed() (n int) {
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if r.Owed {
				n++
			}
		}
	}
	return n
}

// open are the deliveries that are not done.
func (e *entry) open() (open []*queue.Delivery) {
	for i := range e.Deliveries {
		if d := &e.Deliveries[i]; d.State != queue.Done {
			open = append(open, d)
		}
	}
	return open
}

// waiting tells whether a delivery other than the one is untried or leased.
func (e *entry) waiting(but int) bool {
	return slices.ContainsFunc(e.open(), func(d *queue.Delivery) bool {
		_, leased := e.leases[d.Key.N]
		return int(d.Key.N) != but && (leased || d.State == queue.Queued && !e.held)
	})
}

// show is the entry as a store gives it.
func (e *entry) show() *queue.Entry {
	out := e.Entry
	out.Deliveries = nil
	for _, d := range e.Deliveries {
		if len(d.Recipients) == 0 {
			continue
		}
		d.Recipients = slices.Clone(d.Recipients)
		if _, leased := e.leases[d.Key.N]; leased && d.State != queue.Done {
			d.State = queue.Active
		}
		if e.held && d.State != queue.Done {
			d.State = queue.Held
		}
		out.Deliveries = append(out.Deliveries, d)
	}
	return &out
}

// take notes outcomes and tells how many there were for recipients not ended.
func take(d *queue.Delivery, outcomes []queue.Outcome, now time.Time) (taken int) {
	for _, o := range outcomes {
		for i, r := range d.Recipients {
			if r.Index == o.Index && !r.Result.Ended() {
				d.Recipients[i] = queue.DeliveryRecipient{Index: o.Index, Result: o.Result, Reply: o.Reply, Status: o.Status, Code: o.Code, Remote: o.Remote, Owed: o.Owed, At: now}
				taken++
			}
		}
	}
	return taken
}

func allEnded(d *queue.Delivery) bool {
	return !slices.ContainsFunc(d.Recipients, func(r queue.DeliveryRecipient) bool { return !r.Result.Ended() })
}

// record is Store.Record under a lease that holds.
func (m *model) record(l queue.Lease, r queue.Record) {
	e := m.messages[l.Key.Message]
	d := &e.Deliveries[l.Key.N]
	owed := e.owed()
	delete(e.leases, l.Key.N)
	e.tokens[l.Key.N] = l.Token
	e.attempts++
	d.Due = r.Next
	if !r.Uncounted {
		d.Attempts, d.State, d.LastAttempt = d.Attempts+1, queue.Deferred, r.Attempt.Started
	}
	take(d, r.Attempt.Outcomes, r.Now)
	e.move(l.Key.N, r)
	e.add(r)
	if d = &e.Deliveries[l.Key.N]; allEnded(d) {
		d.State = queue.Done
	}
	m.noted(e, owed, int(l.Key.N), r.Now)
}

func (e *entry) move(n uint16, r queue.Record) {
	from := e.Deliveries[n]
	var stay []queue.DeliveryRecipient
	made := make(map[string]int)
	for _, rcpt := range from.Recipients {
		name, ok := r.Move[rcpt.Index]
		if !ok || rcpt.Result.Ended() {
			stay = append(stay, rcpt)
			continue
		}
		if _, ok := made[name]; !ok {
			made[name] = len(e.Deliveries)
			d := from
			d.Key.N, d.Destination, d.Due, d.Recipients = uint16(len(e.Deliveries)), name, r.Now, nil
			e.Deliveries = append(e.Deliveries, d)
		}
		d := &e.Deliveries[made[name]]
		d.Recipients = append(d.Recipients, rcpt)
	}
	e.Deliveries[n].Recipients = stay
}

// add appends recipients and makes deliveries of them.
func (e *entry) add(r queue.Record) {
	m := e.Message
	m.Recipients = slices.Clone(m.Recipients)
	made, first := make(map[string]int), len(e.Deliveries)
	for _, a := range r.Added {
		if a.Unique && slices.ContainsFunc(m.Recipients, func(b queue.Recipient) bool {
			return b.Address.Equal(a.Recipient.Address) && b.Target == a.Recipient.Target
		}) {
			continue
		}
		n, ok := made[a.Destination]
		if !ok || len(e.Deliveries[n].Recipients) == queue.DeliverySize {
			n = len(e.Deliveries)
			made[a.Destination] = n
			e.Deliveries = append(e.Deliveries, queue.Delivery{
				Key: queue.DeliveryKey{Message: m.ID, N: uint16(n)}, Destination: a.Destination, State: queue.Queued, Due: r.Now,
			})
		}
		d, index := &e.Deliveries[n], len(m.Recipients)
		m.Recipients = append(m.Recipients, a.Recipient)
		d.Recipients = append(d.Recipients, queue.DeliveryRecipient{Index: index})
		if a.Outcome != nil {
			o := *a.Outcome
			o.Index = index
			take(d, []queue.Outcome{o}, r.Now)
		}
	}
	for n := first; n < len(e.Deliveries); n++ {
		if d := &e.Deliveries[n]; allEnded(d) {
			d.State = queue.Done
		}
	}
}

// noted sets the agenda after outcomes, or retires the message.
func (m *model) noted(e *entry, owedBefore, but int, now time.Time) {
	switch owed := e.owed(); {
	case owed == 0 && len(e.open()) == 0:
		m.retire(e, now)
	case owed == 0 && owedBefore > 0:
		e.agenda = e.schedule()
	case owed > 0:
		at := now
		if e.waiting(but) {
			at = now.Add(m.wait)
		}
		if at.Before(e.agenda) {
			e.agenda = at
		}
	}
}

func (m *model) retire(e *entry, now time.Time) {
	id := e.Message.ID
	e.Ended, e.leases, e.held = now, nil, false
	m.retired[id] = e
	delete(m.messages, id)
}

func (m *model) conclude(id queue.ID, now time.Time, outcomes []queue.Outcome) {
	e := m.messages[id]
	owed, taken := e.owed(), 0
	for _, d := range e.open() {
		if _, leased := e.leases[d.Key.N]; leased {
			continue
		}
		taken += take(d, outcomes, now)
		if allEnded(d) {
			d.State = queue.Done
		}
	}
	if taken > 0 {
		e.attempts++
		m.noted(e, owed, -1, now)
	}
}

func (m *model) delete(id queue.ID, now time.Time, note string) {
	e := m.messages[id]
	clear(e.leases)
	if len(e.open()) > 0 {
		e.attempts++
	}
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		for j := range d.Recipients {
			take(d, []queue.Outcome{{Index: d.Recipients[j].Index, Result: queue.Removed, Status: d.Recipients[j].Status, Reply: note}}, now)
			d.Recipients[j].Owed = false
		}
		d.State = queue.Done
	}
	m.retire(e, now)
}

func (m *model) settle(s queue.Settlement) {
	e := m.messages[s.Message]
	if !s.RetryAt.IsZero() {
		e.agenda = s.RetryAt
		return
	}
	e.Notified = e.Notified || s.Notified
	for i := range e.Deliveries {
		for j, r := range e.Deliveries[i].Recipients {
			if slices.Contains(s.Recipients, r.Index) {
				e.Deliveries[i].Recipients[j].Owed = false
			}
		}
	}
	if e.owed() == 0 {
		e.agenda = e.schedule()
		if len(e.open()) == 0 {
			m.retire(e, s.Now)
		}
		return
	}
	e.agenda = s.Now
	if e.waiting(-1) {
		e.agenda = s.Now.Add(m.wait)
	}
}

// destinations are the summaries in order of name.
func (m *model) destinations() []queue.Destination {
	all := make(map[string]queue.Destination)
	for _, e := range m.messages {
		for _, d := range e.open() {
			s, ok := all[d.Destination]
			if !ok {
				s = m.suspended[d.Destination]
				s.Name = d.Destination
			}
			s.Count++
			if !e.held && (s.Due.IsZero() || d.Due.Before(s.Due)) {
				s.Due = d.Due
			}
			all[d.Destination] = s
		}
	}
	var out []queue.Destination
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, all[name])
	}
	return out
}

// prune forgets suspensions of destinations without mail.
func (m *model) prune() {
	mail := make(map[string]bool)
	for _, d := range m.destinations() {
		mail[d.Name] = true
	}
	maps.DeleteFunc(m.suspended, func(name string, _ queue.Destination) bool { return !mail[name] })
}

// claimable counts what a Claim may lease.
func (m *model) claimable(name string, now time.Time) (n int) {
	if m.suspended[name].Suspended.After(now) {
		return 0
	}
	for _, e := range m.messages {
		for _, d := range e.open() {
			if _, leased := e.leases[d.Key.N]; d.Destination == name && !leased && !e.held && !d.Due.After(now) {
				n++
			}
		}
	}
	return n
}
