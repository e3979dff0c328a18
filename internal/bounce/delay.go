package bounce

import (
	"context"
	"slices"

	"postrider/internal/address"
	"postrider/queue"
)

// delay deals with the delay notices, if it is time for them: one for each party.
// The last one notes that the delay was dealt with. What breaks in between may have
// a notice repeated after a restart, and loses none.
func (b *Reporter) delay(ctx context.Context, d *due, parties []*party) error {
	if !d.delayed {
		return nil
	}
	id := d.entry.Message.ID
	parties = b.unnoticed(id, parties)
	expired := !d.entry.Message.Expires.After(d.now) // a failure is about to be told
	if len(parties) == 0 || expired {
		return b.delayed(ctx, d, queue.Settlement{Notified: true})
	}
	automatic, err := b.isAutomatic(ctx, id)
	if err != nil {
		return err
	}
	if automatic {
		return b.delayed(ctx, d, queue.Settlement{Notified: true, Note: "no delay notice: automatic or list mail"})
	}
	for i, p := range parties {
		last := i == len(parties)-1
		if err := b.send(ctx, d, b.notice(p, last)); err != nil {
			return err
		}
		b.remember(id, p.to)
	}
	b.forget(id)
	return nil
}

// delayed notes that the delay was dealt with.
func (b *Reporter) delayed(ctx context.Context, d *due, s queue.Settlement) error {
	err := b.settle(ctx, d, s)
	if err == nil {
		b.forget(d.entry.Message.ID)
	}
	return err
}

// unnoticed are the parties that are to be told of a delay and were not.
func (b *Reporter) unnoticed(id queue.ID, parties []*party) []*party {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(parties), func(p *party) bool {
		return len(p.waiting) == 0 || p.to.IsNull() || slices.ContainsFunc(b.noticed[id], p.to.Equal)
	})
}

func (b *Reporter) remember(id queue.ID, to address.Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.noticed[id] = append(b.noticed[id], to)
}

func (b *Reporter) forget(id queue.ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.noticed, id)
}
