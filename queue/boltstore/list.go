package boltstore

import (
	"context"
	"encoding/binary"
	"slices"
	"time"

	"postrider/queue"
)

// window bounds how many rows a call looks at.
const window = 1000

// message reads a message, nil if it is not in the queue.
func (v *view) message(id queue.ID) (*queue.Message, error) {
	b := v.bucket(messageBucket).Get(idKey(id))
	if b == nil {
		return nil, nil
	}
	return v.decodeMessage(b)
}

// state reads a message's state, nil if it is not in the queue.
func (v *view) state(id queue.ID) (*state, error) {
	b := v.bucket(workBucket).Get(idKey(id))
	if b == nil {
		return nil, nil
	}
	return decodeState(b)
}

// delivery reads a delivery, nil if there is none.
func (v *view) delivery(key queue.DeliveryKey) (*deliveryRow, error) {
	b := v.bucket(workBucket).Get(deliveryKey(key))
	if b == nil {
		return nil, nil
	}
	return v.decodeDelivery(b)
}

// entry reads a message with its deliveries, nil if it is not in the queue.
func (v *view) entry(id queue.ID) (*queue.Entry, error) {
	c := v.bucket(workBucket).Cursor()
	k, b := c.Seek(idKey(id))
	if len(k) != idLen || idIn(k) != id {
		return nil, nil
	}
	st, err := decodeState(b)
	if err != nil {
		return nil, err
	}
	m, err := v.message(id)
	if m == nil || err != nil {
		return nil, err
	}
	e := &queue.Entry{Message: m, HoldReason: st.holdReason, Notified: st.notified}
	for k, b = c.Next(); len(k) == deliveryLen && idIn(k) == id; k, b = c.Next() {
		row, err := v.decodeDelivery(b)
		if err != nil {
			return nil, err
		}
		addDelivery(e, queue.DeliveryKey{Message: id, N: binary.BigEndian.Uint16(k[idLen:])}, row, st.held)
	}
	return e, nil
}

// addDelivery adds a delivery to an entry, unless all its recipients were moved.
func addDelivery(e *queue.Entry, key queue.DeliveryKey, row *deliveryRow, held bool) {
	if len(row.Recipients) == 0 {
		return
	}
	d := row.delivery(key)
	if held && d.State != queue.Done {
		d.State = queue.Held
	}
	e.Deliveries = append(e.Deliveries, d)
}

// showLeases marks the deliveries that are leased. It is called outside of read
// transactions.
func (s *Store) showLeases(e *queue.Entry) {
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		if (d.State == queue.Queued || d.State == queue.Deferred) && s.leases.leased(d.Key, time.Time{}) {
			d.State = queue.Active
		}
	}
}

// Get implements queue.Store.
func (s *Store) Get(ctx context.Context, id queue.ID) (*queue.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var e *queue.Entry
	err := s.view(func(v *view) (err error) {
		e, err = v.entry(id)
		return err
	})
	if err != nil {
		return nil, err
	}
	if e == nil {
		return nil, queue.ErrNotFound
	}
	s.showLeases(e)
	return e, nil
}

// List implements queue.Store. A call looks at no more than about a window of
// messages, in read transactions of no more than what is asked for.
func (s *Store) List(ctx context.Context, f queue.Filter, after queue.ID, most int) (entries []queue.Entry, next queue.ID, err error) {
	step := min(max(most, 16), window)
	for seen := 0; seen < window; seen += step {
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
		found, last, err := s.entriesAfter(f, after, step)
		if err != nil {
			return nil, 0, err
		}
		for _, e := range found {
			s.showLeases(e)
			if !f.Match(e) {
				continue
			}
			if len(entries) == most {
				return entries, after, nil
			}
			entries = append(entries, *e)
			after = e.Message.ID
		}
		if last == 0 {
			return entries, 0, nil
		}
		after = last
	}
	return entries, after, nil
}

// entriesAfter reads the next candidates for the filter. last is the last one
// looked at, zero if there are no more.
func (s *Store) entriesAfter(f queue.Filter, after queue.ID, most int) (found []*queue.Entry, last queue.ID, err error) {
	err = s.view(func(v *view) error {
		ids := v.candidates(f, after, most)
		for _, id := range ids {
			e, err := v.entry(id)
			if err != nil {
				return err
			}
			if e != nil {
				found = append(found, e)
			}
		}
		if len(ids) == most {
			last = ids[most-1]
		}
		return nil
	})
	return found, last, err
}

// candidates are the first messages after the given one that may match.
func (v *view) candidates(f queue.Filter, after queue.ID, most int) []queue.ID {
	if len(f.IDs) > 0 {
		return listed(f.IDs, after, most)
	}
	var ids []queue.ID
	if f.Sender != "" {
		domain := binary.BigEndian.AppendUint64(nil, domainHash(senderDomain(f.Sender)))
		c := v.bucket(senderBucket).Cursor()
		k, _ := c.Seek(appendID(slices.Clone(domain), after+1))
		for ; len(k) == senderLen && slices.Equal(k[:8], domain) && len(ids) < most; k, _ = c.Next() {
			ids = append(ids, idIn(k[8:]))
		}
		return ids
	}
	c := v.bucket(messageBucket).Cursor()
	for k, _ := c.Seek(idKey(after + 1)); k != nil && len(ids) < most; k, _ = c.Next() {
		ids = append(ids, idIn(k))
	}
	return ids
}

// listed sorts the IDs and leaves those out that do not come after.
func listed(ids []queue.ID, after queue.ID, most int) []queue.ID {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	from, _ := slices.BinarySearch(ids, after+1)
	return ids[from:min(len(ids), from+most)]
}

// Destinations implements queue.Store.
func (s *Store) Destinations(ctx context.Context, after string, most int) ([]queue.Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.Destination
	err := s.view(func(v *view) error {
		c := v.bucket(destBucket).Cursor()
		k, b := c.Seek([]byte(after))
		if string(k) == after {
			k, b = c.Next()
		}
		for ; k != nil && len(out) < most; k, b = c.Next() {
			row, err := v.decodeDestination(k, b)
			if err != nil {
				return err
			}
			out = append(out, row.destination())
		}
		return nil
	})
	return out, err
}

// Waking implements queue.Store.
func (s *Store) Waking(ctx context.Context, until time.Time, most int) ([]queue.Destination, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.Destination
	err := s.view(func(v *view) error {
		c := v.bucket(wakeBucket).Cursor()
		for k, name := c.First(); k != nil && len(out) < most; k, name = c.Next() {
			at, err := waking(k)
			if err != nil {
				return err
			}
			if at > tickOf(until) {
				return nil
			}
			row, err := v.readDestination(name)
			if err != nil {
				return err
			}
			if row != nil {
				out = append(out, row.destination())
			}
		}
		return nil
	})
	return out, err
}

// Agenda implements queue.Store.
func (s *Store) Agenda(ctx context.Context, until time.Time, most int) ([]queue.AgendaItem, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []queue.AgendaItem
	err := s.view(func(v *view) error {
		c := v.bucket(agendaBucket).Cursor()
		for k, _ := c.First(); k != nil && len(out) < most; k, _ = c.Next() {
			at, id, err := parseTimed(k)
			if err != nil {
				return err
			}
			if at > tickOf(until) {
				return nil
			}
			out = append(out, queue.AgendaItem{ID: id, At: at.time()})
		}
		return nil
	})
	return out, err
}
