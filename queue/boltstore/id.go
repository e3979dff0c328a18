package boltstore

import (
	"sync/atomic"
	"time"

	"postrider/queue"
)

// ids gives out identifiers: four bits of node, 44 bits of sixteenths of a
// millisecond since 2026, which lasts until 2060. Where the clock stands still or
// goes back, they go on by one.
type ids struct {
	last atomic.Uint64
	node uint64
	now  func() time.Time
}

const (
	idTimeBits = 44
	idUnit     = time.Millisecond / 16
)

func (g *ids) next() queue.ID {
	epoch := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	since := max(int64(g.now().Sub(epoch)/idUnit), 1)
	clock := g.node<<idTimeBits | uint64(since)&(1<<idTimeBits-1)
	for {
		last := g.last.Load()
		id := max(last+1, clock)
		if g.last.CompareAndSwap(last, id) {
			return queue.ID(id)
		}
	}
}
