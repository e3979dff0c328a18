package boltstore

import (
	"context"

	"postrider/queue"
)

// Load implements queue.Store. One transaction reads the message, the delivery and
// a small body, as far as they are not at hand.
func (s *Store) Load(ctx context.Context, l queue.Lease) (*queue.Work, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var w *queue.Work
	known := s.recent.get(l.Key.Message)
	err := s.view(func(v *view) (err error) {
		w, err = v.work(l, known)
		return err
	})
	// What was read under a lease that still holds is what the lease is for.
	if err == nil && !s.leases.owns(l) {
		return nil, queue.ErrLeaseLost
	}
	return w, err
}

// work reads a leased delivery; known is what is at hand, if anything.
func (v *view) work(l queue.Lease, known *recentMessage) (*queue.Work, error) {
	stored := v.bucket(workBucket).Get(deliveryKey(l.Key))
	if stored == nil {
		return nil, queue.ErrLeaseLost
	}
	w := &queue.Work{Lease: l}
	var row *deliveryRow
	var err error
	if known != nil {
		m := known.message
		w.Message, w.Body = &m, known.body
		row = known.row(l.Key.N, stored)
	} else if w.Message, err = v.sharedMessage(l.Key.Message); err != nil {
		return nil, err
	}
	if row == nil {
		if row, err = v.decodeDelivery(stored); err != nil {
			return nil, err
		}
	}
	if w.Message == nil || row.done() {
		return nil, queue.ErrLeaseLost
	}
	if known == nil {
		w.Body = v.smallBody(w.Message)
	}
	w.Delivery = row.delivery(l.Key)
	w.Delivery.State = queue.Active
	return w, nil
}

// sharedMessage reads a message that must not be changed, nil if it is not in the
// queue.
func (v *view) sharedMessage(id queue.ID) (*queue.Message, error) {
	b := v.bucket(messageBucket).Get(idKey(id))
	if b == nil {
		return nil, nil
	}
	return v.large.decode(v.codec, id, b)
}

// smallBody reads a body that is small, and nil for others.
func (v *view) smallBody(m *queue.Message) []byte {
	if m.Size > atHand {
		return nil
	}
	chunk := v.bucket(bodyBucket).Get(chunkKey(m.ID, 0))
	if int64(len(chunk)) != m.Size {
		return nil
	}
	return append(make([]byte, 0, len(chunk)), chunk...)
}
