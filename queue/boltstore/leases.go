package boltstore

import (
	"bytes"
	"container/heap"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"postrider/queue"
)

// leases are the leases given out, and where each lane was left off. They are
// kept in memory: the lock on the file makes this process the only one. The mutex
// is never taken inside a read transaction, for Claim begins one under it.
//
// A lease past its end is honoured until another claims the delivery, so that an
// outcome that is known is not lost for being late.
type leases struct {
	mu    sync.Mutex
	token uint64
	held  map[queue.DeliveryKey]*lease
	// live counts leases by message: neither expired nor pinned.
	live  map[queue.ID]int
	ends  leaseEnds
	turns map[uint32]*turn
}

// lease is a right to attempt a delivery, or, while pinned, a change of the
// delivery that waits for its commit.
type lease struct {
	token   uint64 // zero for a pin without a lease
	until   time.Time
	due     dueKey
	expired bool
	pinned  bool
}

func (l *lease) live() bool { return l.token != 0 && !l.expired && !l.pinned }

// turn is where the serving of a destination was left off.
type turn struct {
	served uint         // deliveries given, which tells whose turn it is
	lane   [2]byte      // lane served last, of the new and of the tried
	fronts [2]laneHeads // by lane: rows before are leased
}

type laneHeads map[byte]dueKey

func newLeases() *leases {
	// Tokens of another run must never be taken for ours.
	var seed [8]byte
	_, _ = rand.Read(seed[:])
	return &leases{
		token: binary.BigEndian.Uint64(seed[:]) >> 1,
		held:  make(map[queue.DeliveryKey]*lease),
		live:  make(map[queue.ID]int),
		turns: make(map[uint32]*turn),
	}
}

// set changes a lease and keeps the counts.
func (ls *leases) set(key queue.DeliveryKey, l *lease, change func()) {
	before := l.live()
	change()
	switch after := l.live(); {
	case after && !before:
		ls.live[key.Message]++
	case before && !after:
		if ls.live[key.Message]--; ls.live[key.Message] == 0 {
			delete(ls.live, key.Message)
		}
	}
}

// grant leases a delivery that is free.
func (ls *leases) grant(due dueKey, until time.Time) uint64 {
	ls.token++
	key := due.delivery()
	l := new(lease)
	ls.set(key, l, func() { *l = lease{token: ls.token, until: until, due: due} })
	ls.held[key] = l
	heap.Push(&ls.ends, leaseEnd{until, key, ls.token})
	return ls.token
}

// free tells whether the delivery may be leased.
func (ls *leases) free(key queue.DeliveryKey) bool {
	l := ls.held[key]
	return l == nil || l.expired && !l.pinned
}

// drop ends a lease or pin.
func (ls *leases) drop(key queue.DeliveryKey) {
	l := ls.held[key]
	if l == nil {
		return
	}
	ls.set(key, l, func() { l.token = 0 })
	delete(ls.held, key)
	ls.lower(l.due)
}

// lower makes sure that the row is not passed over.
func (ls *leases) lower(k dueKey) {
	t := ls.turns[k.lane().destination]
	if t == nil {
		return
	}
	front, ok := t.fronts[k[4]][k[5]]
	if ok && bytes.Compare(k[:], front[:]) < 0 {
		t.fronts[k[4]][k[5]] = k
	}
}

// expire marks leases that have ended by now.
func (ls *leases) expire(now time.Time) {
	for len(ls.ends) > 0 && !ls.ends[0].until.After(now) {
		end := heap.Pop(&ls.ends).(leaseEnd)
		l := ls.held[end.key]
		if l == nil || l.token != end.token || l.until.After(now) {
			continue
		}
		ls.set(end.key, l, func() { l.expired = true })
		ls.lower(l.due)
	}
}

// pin keeps the delivery from being claimed until the commit or its failure. Its
// lease, if any, is not honoured meanwhile. due is its row in the due index.
func (ls *leases) pin(key queue.DeliveryKey, due dueKey) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.held[key]
	if l == nil {
		l = &lease{due: due}
		ls.held[key] = l
	}
	ls.set(key, l, func() { l.pinned = true })
}

// committed ends the leases of what was pinned and lets the rows that were added
// be found. emptied are destinations without mail.
func (ls *leases) committed(pinned []queue.DeliveryKey, added []dueKey, emptied []uint32) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, key := range pinned {
		ls.drop(key)
	}
	for _, k := range added {
		ls.lower(k)
	}
	for _, number := range emptied {
		delete(ls.turns, number)
	}
}

// rolledBack gives pinned leases back to their holders.
func (ls *leases) rolledBack(pinned []queue.DeliveryKey) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, key := range pinned {
		l := ls.held[key]
		if l == nil {
			continue
		}
		if l.token == 0 {
			delete(ls.held, key)
		}
		ls.set(key, l, func() { l.pinned = false })
		ls.lower(l.due)
	}
}

// owns tells whether the lease is honoured.
func (ls *leases) owns(l queue.Lease) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.lookup(l) != nil
}

func (ls *leases) lookup(l queue.Lease) *lease {
	held := ls.held[l.Key]
	if held == nil || held.pinned || held.token != l.Token || l.Token == 0 {
		return nil
	}
	return held
}

// leased tells whether the delivery is leased at the time; a zero time asks
// whether it was when last looked at.
func (ls *leases) leased(key queue.DeliveryKey, now time.Time) bool {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.held[key]
	if l == nil || l.token == 0 || l.expired {
		return false
	}
	return now.IsZero() || l.until.After(now)
}

// others counts the message's leases that go on.
func (ls *leases) others(id queue.ID) int {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	return ls.live[id]
}

// renew prolongs a lease.
func (ls *leases) renew(l queue.Lease, until time.Time) {
	held := ls.lookup(l)
	if held == nil {
		return
	}
	ls.set(l.Key, held, func() { held.until, held.expired = until, false })
	heap.Push(&ls.ends, leaseEnd{until, l.Key, l.Token})
}

// leaseEnd says when a lease may have ended; renewed leases have several.
type leaseEnd struct {
	until time.Time
	key   queue.DeliveryKey
	token uint64
}

// leaseEnds is a heap, the earliest end first.
type leaseEnds []leaseEnd

func (e leaseEnds) Len() int           { return len(e) }
func (e leaseEnds) Less(i, j int) bool { return e[i].until.Before(e[j].until) }
func (e leaseEnds) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }

// Push implements heap.Interface.
func (e *leaseEnds) Push(x any) { *e = append(*e, x.(leaseEnd)) }

// Pop implements heap.Interface.
func (e *leaseEnds) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
