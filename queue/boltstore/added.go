package boltstore

import (
	"fmt"
	"math"
	"slices"

	"postrider/queue"
)

// maxRecipients bounds the recipients that a message may grow to: each change of
// one reads them all.
const maxRecipients = 100_000

// addedBytes is about what an added recipient takes in a transaction.
const addedBytes = 256

// addition is what Record.Added comes to, before anything of it is stored.
type addition struct {
	message  []byte // the row with its new recipients; nil if there are none
	rows     []*deliveryRow
	outcomes []queue.Outcome // of those that end at once
	owed     uint32          // of these
}

// add prepares the recipients that take the place of others. They are compared
// with those of the message at the time of the commit.
func (r *recording) add(b *batch, id queue.ID) (*addition, error) {
	if len(r.record.Added) == 0 {
		return &addition{}, nil
	}
	m := b.message(id)
	if m == nil {
		return nil, b.err
	}
	added := unlike(m, r.record.Added)
	if len(added) == 0 {
		return &addition{}, nil
	}
	if n := len(m.Recipients) + len(added); n > maxRecipients {
		return nil, fmt.Errorf("%w: message %s would have %d, more than %d", queue.ErrTooMany, id, n, maxRecipients)
	}
	a := r.deliveries(len(m.Recipients), added)
	grown := *m
	grown.Recipients = slices.Grow(slices.Clip(m.Recipients), len(added))
	for _, x := range added {
		grown.Recipients = append(grown.Recipients, x.Recipient)
	}
	var err error
	if a.message, err = b.encodeMessage(&grown); err != nil {
		return nil, fmt.Errorf("encode message %s: %w", id, err)
	}
	return a, nil
}

// message reads a message that is in the queue; it must not be changed. A row that
// is not committed yet is not kept for others.
func (b *batch) message(id queue.ID) *queue.Message {
	row := b.get(messageBucket, idKey(id))
	if m := b.large.get(id, len(row)); m != nil {
		return m
	}
	m, err := b.decodeMessage(row)
	b.fail(err)
	return m
}

// recipientKey is equal for recipients that get one copy.
type recipientKey struct {
	local, domain string
	target        queue.Target
}

func keyOf(r *queue.Recipient) recipientKey {
	return recipientKey{r.Address.Local, fold(r.Address.Domain), r.Target}
}

// unlike leaves out what is to be unique and is not.
func unlike(m *queue.Message, added []queue.Added) []queue.Added {
	known := make(map[recipientKey]struct{}, len(m.Recipients)+len(added))
	for i := range m.Recipients {
		known[keyOf(&m.Recipients[i])] = struct{}{}
	}
	kept := make([]queue.Added, 0, len(added))
	for _, x := range added {
		k := keyOf(&x.Recipient)
		if _, ok := known[k]; ok && x.Unique {
			continue
		}
		known[k] = struct{}{}
		kept = append(kept, x)
	}
	return kept
}

// deliveries groups recipients, of which the first will have the index, by
// destination. A group that is full is followed by another.
func (r *recording) deliveries(first int, added []queue.Added) *addition {
	a := new(addition)
	filling := make(map[string]*deliveryRow)
	for i, x := range added {
		row := filling[x.Destination]
		if row == nil || len(row.Recipients) == queue.DeliverySize {
			row = &deliveryRow{Delivery: queue.Delivery{Destination: x.Destination, State: queue.Queued}, Due: max(tickOf(r.record.Now), 1)}
			filling[x.Destination] = row
			a.rows = append(a.rows, row)
		}
		rcpt := recipientRow{DeliveryRecipient: queue.DeliveryRecipient{Index: first + i}}
		if x.Outcome != nil {
			o := *x.Outcome
			o.Index = first + i
			rcpt = standing(o, r.record.Now)
			a.outcomes = append(a.outcomes, o)
			if o.Owed {
				a.owed++
			}
		}
		row.Recipients = append(row.Recipients, rcpt)
	}
	for _, row := range a.rows {
		if row.ended() {
			row.State = queue.Done
		}
	}
	return a
}

// fits fails if the message would have more deliveries than can be numbered.
func (r *recording) fits(id queue.ID, st *state, a *addition) error {
	if n := int(st.next) + len(r.record.Move) + len(a.rows); n > math.MaxUint16 {
		return fmt.Errorf("%w: message %s would have up to %d deliveries, more than %d", queue.ErrTooMany, id, n, math.MaxUint16)
	}
	return nil
}

// grow stores the recipients that were added.
func (b *batch) grow(id queue.ID, st *state, a *addition) {
	if a.message == nil {
		return
	}
	b.put(messageBucket, idKey(id), a.message)
	b.grown = append(b.grown, id)
	st.owed += a.owed
	for _, row := range a.rows {
		b.addDelivery(id, st, row)
	}
}

// attempt is the encoded history of the attempt, with what ended at once.
func (r *recording) attempt(b *batch, a *addition) []byte {
	if len(a.outcomes) == 0 {
		return r.history
	}
	all := r.record.Attempt
	all.Outcomes = slices.Concat(all.Outcomes, a.outcomes)
	encoded, err := b.encodeAttempt(&all)
	b.fail(err)
	return encoded
}

// checkAdded refuses what cannot be stored.
func checkAdded(added []queue.Added) error {
	for _, x := range added {
		if err := checkDestination(x.Destination); err != nil {
			return err
		}
		if x.Outcome != nil && !x.Outcome.Result.Ended() {
			return fmt.Errorf("recipient %s is added with the outcome %s, which does not end it", x.Recipient.Address, x.Outcome.Result)
		}
	}
	return nil
}
