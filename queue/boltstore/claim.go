package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"time"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// newPerRetry is how many new deliveries go for one that was tried before.
const newPerRetry = 3

// Claim implements queue.Store. It reads only; the leases are kept in memory.
func (s *Store) Claim(ctx context.Context, c queue.Claim) ([]queue.Lease, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	s.leases.expire(c.Now)
	// The transaction begins under the lock that ends leases after a commit, so
	// that a delivery whose lease has ended is seen as that commit left it.
	var out []queue.Lease
	err := s.view(func(v *view) error {
		d, err := v.readDestination([]byte(c.Destination))
		if err != nil || d == nil || d.Suspended > tickOf(c.Now) {
			return err
		}
		out, err = s.leases.claim(v.bucket(dueBucket).Cursor(), d.Number, c)
		return err
	})
	return out, err
}

// claimer picks the deliveries of one Claim.
type claimer struct {
	*leases
	*turn
	cursor    *bolt.Cursor
	number    uint32
	now       tick
	until     time.Time
	exhausted [2][256]bool
	empty     [2]bool
}

func (ls *leases) claim(cursor *bolt.Cursor, number uint32, c queue.Claim) ([]queue.Lease, error) {
	t := ls.turns[number]
	if t == nil {
		t = &turn{fronts: [2]laneHeads{{}, {}}}
		ls.turns[number] = t
	}
	p := &claimer{leases: ls, turn: t, cursor: cursor, number: number, now: tickOf(c.Now), until: c.Until}
	var out []queue.Lease
	for len(out) < c.Max && !(p.empty[0] && p.empty[1]) {
		l, err := p.pick()
		if err != nil {
			return out, err
		}
		if l != nil {
			out = append(out, *l)
		}
	}
	return out, nil
}

// pick leases the next delivery, nil if a class turned out to have none.
func (p *claimer) pick() (*queue.Lease, error) {
	class := 0
	if p.served%(newPerRetry+1) == newPerRetry {
		class = 1
	}
	if p.empty[class] {
		class = 1 - class
	}
	l, err := p.next(class)
	if l == nil || err != nil {
		p.empty[class] = true
		return nil, err
	}
	// Only turns taken while the other class waits count, except that a class is
	// not known to wait before it was looked at.
	p.served++
	return l, nil
}

// next goes once around the lanes of the class, from the one after the last served.
func (p *claimer) next(class int) (*queue.Lease, error) {
	start := p.lane[class]
	hash, wrapped := int(start)+1, false
	for {
		found, ok, err := p.seekLane(class, hash)
		if err != nil {
			return nil, err
		}
		if !ok || wrapped && found > int(start) {
			if wrapped {
				return nil, nil
			}
			hash, wrapped = 0, true
			continue
		}
		if l, err := p.take(class, byte(found)); l != nil || err != nil {
			p.lane[class] = byte(found)
			return l, err
		}
		p.exhausted[class][found] = true
		hash = found + 1
	}
}

// seekLane finds the first lane with mail from the hash on that is not exhausted.
func (p *claimer) seekLane(class, from int) (hash int, ok bool, err error) {
	for hash = from; hash < 256; hash++ {
		if p.exhausted[class][hash] {
			continue
		}
		prefix := lane{p.number, class == 1, byte(hash)}.prefix()
		k, _ := p.cursor.Seek(prefix[:])
		if len(k) < lanePrefix || !bytes.Equal(k[:5], prefix[:5]) {
			return 0, false, nil
		}
		key, err := parseDueKey(k)
		if err != nil {
			return 0, false, err
		}
		if hash = int(key.lane().hash); !p.exhausted[class][hash] {
			return hash, true, nil
		}
	}
	return 0, false, nil
}

// take leases the first free delivery of the lane that is due.
func (p *claimer) take(class int, hash byte) (*queue.Lease, error) {
	prefix := lane{p.number, class == 1, hash}.prefix()
	from, known := p.fronts[class][hash]
	if !known {
		copy(from[:], prefix[:])
	}
	for k, v := p.cursor.Seek(from[:]); bytes.HasPrefix(k, prefix[:]); k, v = p.cursor.Next() {
		key, err := parseDueKey(k)
		if err != nil {
			return nil, err
		}
		p.fronts[class][hash] = key
		if key.due() > p.now {
			return nil, nil
		}
		if !p.free(key.delivery()) {
			continue
		}
		return p.lease(key, v), nil
	}
	return nil, nil
}

func (p *claimer) lease(key dueKey, value []byte) *queue.Lease {
	l := &queue.Lease{
		Key:   key.delivery(),
		Token: p.grant(key, p.until),
		Retry: key.lane().retry,
		Due:   key.due().time(),
	}
	if len(value) >= 4 {
		l.Sender = binary.BigEndian.Uint32(value)
	}
	return l
}

// Renew implements queue.Store.
func (s *Store) Renew(ctx context.Context, until time.Time, ls ...queue.Lease) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	for _, l := range ls {
		s.leases.renew(l, until)
	}
	return nil
}

// Release implements queue.Store.
func (s *Store) Release(ctx context.Context, ls ...queue.Lease) error {
	if err := s.usable(ctx); err != nil {
		return err
	}
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	for _, l := range ls {
		if s.leases.lookup(l) != nil {
			s.leases.drop(l.Key)
		}
	}
	return nil
}
