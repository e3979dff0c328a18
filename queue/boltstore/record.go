package boltstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"postrider/queue"
)

// Record implements queue.Store.
func (s *Store) Record(ctx context.Context, l queue.Lease, r queue.Record) error {
	for _, name := range r.Move {
		if err := checkDestination(name); err != nil {
			return err
		}
	}
	if err := checkAdded(r.Added); err != nil {
		return err
	}
	history, err := s.encodeAttempt(&r.Attempt)
	if err != nil {
		return fmt.Errorf("encode attempt of %s: %w", l.Key.Message, err)
	}
	rec := &recording{lease: l, record: r, history: history, wait: s.opts.ReportWait}
	return s.submit(ctx, &op{mark: true, size: addedBytes * len(r.Added), apply: rec.apply})
}

// recording is a Record ready to be applied.
type recording struct {
	lease   queue.Lease
	record  queue.Record
	history []byte
	wait    time.Duration
}

func (r *recording) apply(b *batch) error {
	id, key := r.lease.Key.Message, r.lease.Key
	st, row := b.state(id), b.delivery(key)
	if st == nil || row == nil {
		return r.endedBefore(b)
	}
	if row.Token == r.lease.Token && r.lease.Token != 0 {
		return nil
	}
	if row.done() || st.held || !b.leases.owns(r.lease) {
		return queue.ErrLeaseLost
	}
	more, err := r.add(b, id)
	if err == nil {
		err = r.fits(id, st, more)
	}
	if err != nil {
		return err
	}
	b.pin(st, key, row)
	b.unschedule(st, key, row)
	if row.State == queue.Queued {
		st.untried--
	}
	owedBefore := st.owed
	row.attempted(&r.record, r.lease.Token)
	row.take(st, r.record.Attempt.Outcomes, r.record.Now)
	moved := r.move(row)
	r.keep(b, st, key, row)
	for _, m := range moved {
		b.addDelivery(id, st, m)
	}
	b.grow(id, st, more)
	b.addAttempt(id, st, r.attempt(b, more))
	if st.over() {
		b.retire(id, st, r.record.Now, key, b.encode(row))
		return nil
	}
	b.putDelivery(key, row)
	others := b.pending(id, st)
	if !row.done() && row.State == queue.Queued {
		others--
	}
	b.conclude(id, st, r.record.Now, b.agendaAfter(st, owedBefore, others, r.record.Now, r.wait))
	return nil
}

// endedBefore is for a delivery that is gone: its last token may be the lease's.
func (r *recording) endedBefore(b *batch) error {
	v := b.get(retiredBucket, idKey(r.lease.Key.Message))
	if v == nil {
		return queue.ErrLeaseLost
	}
	var retired retiredRow
	if err := b.decode("retired", v, &retired); err != nil {
		b.fail(err)
		return err
	}
	i := slices.Index(retired.Numbers, r.lease.Key.N)
	if i < 0 || i >= len(retired.Deliveries) {
		return queue.ErrLeaseLost
	}
	row, err := b.decodeDelivery(retired.Deliveries[i])
	if err != nil {
		b.fail(err)
		return err
	}
	if row.Token != r.lease.Token {
		return queue.ErrLeaseLost
	}
	return nil
}

// attempted notes that an attempt has ended.
func (row *deliveryRow) attempted(r *queue.Record, token uint64) {
	row.Token = token
	row.Due = max(tickOf(r.Next), 1)
	if r.Next.IsZero() {
		row.Due = max(tickOf(r.Now), 1)
	}
	if r.Uncounted {
		return
	}
	row.Attempts++
	row.State = queue.Deferred
	row.LastAttempt = tickOf(r.Attempt.Started)
	if row.LastAttempt == 0 {
		row.LastAttempt = tickOf(r.Now)
	}
}

// take notes outcomes for recipients that have not ended and returns how many.
func (row *deliveryRow) take(st *state, outcomes []queue.Outcome, now time.Time) (taken int) {
	for _, o := range outcomes {
		i, ok := row.find(o.Index)
		if !ok || row.Recipients[i].Result.Ended() {
			continue
		}
		was := row.Recipients[i].Owed
		row.Recipients[i] = standing(o, now)
		st.countOwed(was, o.Owed)
		taken++
	}
	return taken
}

// find looks a recipient up by its index. They are in order.
func (row *deliveryRow) find(index int) (place int, ok bool) {
	return slices.BinarySearchFunc(row.Recipients, index, func(r recipientRow, index int) int { return cmp.Compare(r.Index, index) })
}

// standing is where an outcome leaves its recipient.
func standing(o queue.Outcome, now time.Time) recipientRow {
	return recipientRow{DeliveryRecipient: queue.DeliveryRecipient{
		Index: o.Index, Result: o.Result, Reply: o.Reply, Status: o.Status, Code: o.Code, Remote: o.Remote, Owed: o.Owed,
	}, At: tickOf(now)}
}

func (s *state) countOwed(was, is bool) {
	switch {
	case is && !was:
		s.owed++
	case was && !is:
		s.owed--
	}
}

// ended tells whether nothing is left to try.
func (row *deliveryRow) ended() bool {
	return !slices.ContainsFunc(row.Recipients, func(r recipientRow) bool { return !r.Result.Ended() })
}

// move takes recipients that go elsewhere out of the row and makes deliveries of
// them, in the order of their first recipients.
func (r *recording) move(row *deliveryRow) []*deliveryRow {
	if len(r.record.Move) == 0 {
		return nil
	}
	var moved []*deliveryRow
	var stay []recipientRow
	for _, rcpt := range row.Recipients {
		name, ok := r.record.Move[rcpt.Index]
		if !ok || rcpt.Result.Ended() {
			stay = append(stay, rcpt)
			continue
		}
		i := slices.IndexFunc(moved, func(m *deliveryRow) bool { return m.Destination == name })
		if i < 0 {
			i = len(moved)
			m := *row
			m.Destination, m.Token, m.Recipients = name, 0, nil
			m.Due = max(tickOf(r.record.Now), 1)
			moved = append(moved, &m)
		}
		moved[i].Recipients = append(moved[i].Recipients, rcpt)
	}
	row.Recipients = stay
	return moved
}

// keep counts and schedules the delivery, due again or done.
func (r *recording) keep(b *batch, st *state, key queue.DeliveryKey, row *deliveryRow) {
	if row.ended() {
		row.State = queue.Done
		st.open--
		b.count(row.Destination, -1)
	} else {
		if row.State == queue.Queued {
			st.untried++
		}
		b.schedule(st, key, row)
	}
}

// addDelivery adds a delivery to a message.
func (b *batch) addDelivery(id queue.ID, st *state, row *deliveryRow) {
	key := queue.DeliveryKey{Message: id, N: st.next}
	st.next++
	if row.done() {
		b.putDelivery(key, row)
		return
	}
	st.open++
	if row.State == queue.Queued {
		st.untried++
	}
	b.count(row.Destination, 1)
	b.schedule(st, key, row)
	b.putDelivery(key, row)
}

// pending counts deliveries that reports are to wait for: untried or leased.
func (b *batch) pending(id queue.ID, st *state) int {
	leased := b.leases.others(id)
	if st.held {
		return leased
	}
	return int(st.untried) + leased
}

// agendaAfter is when the message is to come up after outcomes were noted.
func (b *batch) agendaAfter(st *state, owedBefore uint32, others int, now time.Time, wait time.Duration) tick {
	if st.owed == 0 {
		if owedBefore == 0 {
			return st.agenda
		}
		return st.schedule()
	}
	at := now
	if others > 0 {
		at = now.Add(wait)
	}
	want := max(tickOf(at), 1)
	if st.agenda != 0 {
		want = min(want, st.agenda)
	}
	return want
}

// conclude stores the state of a message, or retires it if it has ended.
func (b *batch) conclude(id queue.ID, st *state, now time.Time, agenda tick) {
	if st.over() {
		b.retire(id, st, now, queue.DeliveryKey{}, nil)
		return
	}
	b.setAgenda(id, st, agenda)
	b.putState(id, st)
}

// over tells whether nothing of the message is left to do.
func (s *state) over() bool { return s.open == 0 && s.owed == 0 }

// retire removes a message and keeps its final entry. The delivery that was the
// last to end need not have been stored: encoded, if not nil, is what it is now.
func (b *batch) retire(id queue.ID, st *state, now time.Time, last queue.DeliveryKey, encoded []byte) {
	row := retiredRow{
		Message:    b.get(messageBucket, idKey(id)),
		Ended:      max(tickOf(now), 1),
		Notified:   st.notified,
		HoldReason: st.holdReason,
		Submission: st.submission,
		Attempts:   st.attempts,
	}
	var keys [][]byte
	for n := range st.next {
		key := queue.DeliveryKey{Message: id, N: n}
		k := deliveryKey(key)
		v := b.get(workBucket, k)
		if v == nil {
			continue
		}
		if key == last && encoded != nil {
			v = encoded
		}
		row.Numbers = append(row.Numbers, n)
		row.Deliveries = append(row.Deliveries, v)
		keys = append(keys, k)
	}
	// Before anything is removed, for what was read is valid until then.
	b.put(retiredBucket, idKey(id), b.encode(&row))
	b.put(endedBucket, timedKey(row.Ended, id), []byte{})
	for _, k := range keys {
		b.delete(workBucket, k)
	}
	b.setAgenda(id, st, 0)
	b.delete(workBucket, idKey(id))
	b.delete(messageBucket, idKey(id))
	b.delete(senderBucket, senderKey(st.domain, id))
	for n := range st.chunks {
		b.delete(bodyBucket, chunkKey(id, n))
	}
	b.retired = append(b.retired, id)
	b.counters.messages--
	b.counters.bytes -= st.size
}
