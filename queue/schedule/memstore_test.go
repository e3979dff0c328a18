package schedule_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// memStore is a Store of deliveries that fits into memory by the hundred thousand,
// for tests of order and speed. Claims come in the order of commits: whatever
// fairness there is, is the scheduler's. Only what the scheduler calls is there.
type memStore struct {
	queue.Store
	mu     sync.Mutex
	dests  map[string]*memDestination
	byID   map[queue.ID]*memDelivery
	next   queue.ID
	watch  func([]queue.Destination)
	broken chan struct{}
	claims int
}

type memDestination struct {
	queue.Destination
	waiting []*memDelivery
}

type memDelivery struct {
	id     queue.ID
	dest   *memDestination
	sender uint32
}

func newMemStore() *memStore {
	return &memStore{dests: map[string]*memDestination{}, byID: map[queue.ID]*memDelivery{}, broken: make(chan struct{})}
}

// add puts n deliveries in.
func (s *memStore) add(destination string, sender uint32, n int) {
	s.mu.Lock()
	d := s.dests[destination]
	if d == nil {
		d = &memDestination{Destination: queue.Destination{Name: destination}}
		s.dests[destination] = d
	}
	for range n {
		s.next++
		del := &memDelivery{id: s.next, dest: d, sender: sender}
		s.byID[s.next] = del
		d.waiting = append(d.waiting, del)
	}
	d.Count += n
	d.Due = time.Now()
	sum, watch := d.Destination, s.watch
	s.mu.Unlock()
	if watch != nil {
		watch([]queue.Destination{sum})
	}
}

func (s *memStore) Claim(_ context.Context, c queue.Claim) (leases []queue.Lease, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claims++
	d := s.dests[c.Destination]
	n := min(c.Max, len(d.waiting))
	for _, del := range d.waiting[:n] {
		leases = append(leases, queue.Lease{Key: queue.DeliveryKey{Message: del.id}, Token: 1, Sender: del.sender, Due: c.Now})
	}
	d.waiting = d.waiting[n:]
	return leases, nil
}

func (s *memStore) Load(_ context.Context, l queue.Lease) (*queue.Work, error) {
	s.mu.Lock()
	del := s.byID[l.Key.Message]
	s.mu.Unlock()
	return &queue.Work{
		Lease:    l,
		Message:  &queue.Message{ID: l.Key.Message, Arrival: l.Due, Expires: l.Due.Add(time.Hour), Recipients: []queue.Recipient{{Address: address.Address{Local: "a", Domain: "b.example"}}}},
		Delivery: queue.Delivery{Destination: del.dest.Name, Recipients: []queue.DeliveryRecipient{{}}},
	}, nil
}

func (s *memStore) Record(_ context.Context, l queue.Lease, _ queue.Record) error {
	s.mu.Lock()
	del := s.byID[l.Key.Message]
	delete(s.byID, l.Key.Message)
	if del.dest.Count--; del.dest.Count == 0 {
		del.dest.Due = time.Time{}
	}
	sum, watch := del.dest.Destination, s.watch
	s.mu.Unlock()
	watch([]queue.Destination{sum})
	return nil
}

func (s *memStore) Release(_ context.Context, leases ...queue.Lease) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range leases {
		del := s.byID[l.Key.Message]
		del.dest.waiting = append(del.dest.waiting, del)
	}
	return nil
}

func (s *memStore) Waking(_ context.Context, until time.Time, most int) (sums []queue.Destination, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.dests {
		if at := d.Wake(); !at.IsZero() && !at.After(until) {
			sums = append(sums, d.Destination)
		}
	}
	slices.SortFunc(sums, func(a, b queue.Destination) int { return a.Wake().Compare(b.Wake()) })
	return sums[:min(most, len(sums))], nil
}

func (s *memStore) Watch(fn func([]queue.Destination)) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watch = fn
	return func() {}
}

func (s *memStore) Renew(context.Context, time.Time, ...queue.Lease) error { return nil }
func (s *memStore) Failed() <-chan struct{}                                { return s.broken }

func (s *memStore) Forget(context.Context, time.Time, int) (int, error) { return 0, nil }
func (s *memStore) Agenda(context.Context, time.Time, int) ([]queue.AgendaItem, error) {
	return nil, nil
}
