package schedule

import "postrider/queue"

// backlog holds the leases of one destination in the order in which they are
// served: senders in turn, and three new deliveries for one tried before.
type backlog struct {
	fresh, tried lane
	turn         int
	n            int
}

// newPerTried is how many new deliveries go before one that was tried before.
const newPerTried = 3

func (b *backlog) len() int { return b.n }

func (b *backlog) add(l queue.Lease) {
	b.n++
	if l.Retry {
		b.tried.add(l)
		return
	}
	b.fresh.add(l)
}

// next takes the lease whose turn it is; there must be one.
func (b *backlog) next() queue.Lease {
	b.n--
	if b.fresh.empty() {
		return b.tried.next()
	}
	if b.tried.empty() {
		return b.fresh.next()
	}
	b.turn++
	if b.turn%(newPerTried+1) == 0 {
		return b.tried.next()
	}
	return b.fresh.next()
}

// drain takes everything.
func (b *backlog) drain() []queue.Lease {
	leases := b.appendTo(make([]queue.Lease, 0, b.n))
	*b = backlog{turn: b.turn}
	return leases
}

// appendTo appends everything to leases and leaves it where it is.
func (b *backlog) appendTo(leases []queue.Lease) []queue.Lease {
	return b.tried.appendTo(b.fresh.appendTo(leases))
}

// lane serves senders in turn and the leases of each in order.
type lane struct {
	bySender map[uint32]*fifo[queue.Lease]
	turns    fifo[uint32] // every key of bySender once
}

func (l *lane) empty() bool { return len(l.bySender) == 0 }

func (l *lane) add(lease queue.Lease) {
	q := l.bySender[lease.Sender]
	if q == nil {
		if l.bySender == nil {
			l.bySender = make(map[uint32]*fifo[queue.Lease])
		}
		q = new(fifo[queue.Lease])
		l.bySender[lease.Sender] = q
		l.turns.push(lease.Sender)
	}
	q.push(lease)
}

func (l *lane) next() queue.Lease {
	sender, _ := l.turns.pop()
	q := l.bySender[sender]
	lease, _ := q.pop()
	if q.len() > 0 {
		l.turns.push(sender)
	} else {
		delete(l.bySender, sender)
	}
	return lease
}

func (l *lane) appendTo(leases []queue.Lease) []queue.Lease {
	for _, q := range l.bySender {
		leases = append(leases, q.rest()...)
	}
	return leases
}
