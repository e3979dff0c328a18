package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func openAt(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func openTemp(t testing.TB, o Options) *Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "queue.db"), o)
}

func simple() *queue.Message {
	return &queue.Message{
		Envelope:   queue.Envelope{ReversePath: address.Address{Local: "a", Domain: "example.com"}},
		Recipients: []queue.Recipient{{Address: address.Address{Local: "b", Domain: "example.net"}}},
		Arrival:    noon, Expires: noon.Add(time.Hour),
	}
}

func put(s *Store, size int) (queue.ID, error) {
	d, err := s.Create(context.Background())
	if err != nil {
		return 0, err
	}
	if _, err := d.Write(make([]byte, size)); err != nil {
		return 0, errors.Join(err, d.Abort())
	}
	return d.Commit(context.Background(), simple(), []string{"d"})
}

func mustPut(t testing.TB, s *Store, size int) queue.ID {
	t.Helper()
	id, err := put(s, size)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func take(t testing.TB, s *Store, most int) []queue.Lease {
	t.Helper()
	ls, err := s.Claim(t.Context(), queue.Claim{Destination: "d", Owner: "t", Now: noon, Until: noon.Add(time.Hour), Max: most})
	if err != nil {
		t.Fatal(err)
	}
	return ls
}

func deliver(s *Store, l queue.Lease) error {
	done := queue.Attempt{Started: noon, Outcomes: []queue.Outcome{{Result: queue.Delivered, Status: "2.0.0"}}}
	return s.Record(context.Background(), l, queue.Record{Now: noon, Attempt: done})
}

func mustCheck(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func writeError(errno syscall.Errno) error {
	return &os.PathError{Op: "write", Path: "queue.db", Err: errno}
}

func TestFailStop(t *testing.T) {
	for name, fault := range map[string]error{
		"write fails":              writeError(syscall.EIO),
		"sync fails":               syscall.EIO,
		"sync fails for no space":  syscall.ENOSPC,
		"file cannot grow":         errors.New("file resize error: no space left on device"),
		"write of marks, no space": writeError(syscall.EROFS),
	} {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Bool
			commits := 0
			s := openTemp(t, Options{commitFault: func() error {
				if broken.Load() {
					commits++
					return fault
				}
				return nil
			}})
			id := mustPut(t, s, 10)
			l := take(t, s, 1)[0]
			broken.Store(true)
			if _, err := put(s, 10); !errors.Is(err, queue.ErrFailed) || !errors.Is(err, fault) {
				t.Errorf("error %v, want ErrFailed with its cause", err)
			}
			select {
			case <-s.Failed():
			default:
				t.Error("Failed is not closed")
			}
			broken.Store(false)
			_, createErr := s.Create(t.Context())
			_, getErr := s.Get(t.Context(), id)
			for _, err := range []error{createErr, getErr, deliver(s, l), s.Renew(t.Context(), noon)} {
				if !errors.Is(err, queue.ErrFailed) {
					t.Errorf("error %v afterwards, want ErrFailed", err)
				}
			}
			if commits != 1 {
				t.Errorf("%d commits were tried, want 1", commits)
			}
		})
	}
}

// waitFor polls until the condition holds.
func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatal("waited for nothing")
		}
		time.Sleep(time.Millisecond)
	}
}

// TestVanishedPages cuts the file off under an open store.
func TestVanishedPages(t *testing.T) {
	s := openTemp(t, Options{})
	id := mustPut(t, s, 1<<20)
	if err := os.Truncate(s.path, 2*pageSize); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), id); !errors.Is(err, queue.ErrFailed) {
		t.Errorf("Get: %v, want ErrFailed", err)
	}
	<-s.Failed()
}

func TestWithdraw(t *testing.T) {
	gate, entered := make(chan struct{}), make(chan struct{}, 100)
	s := openTemp(t, Options{Ballast: -1, commitFault: func() error {
		entered <- struct{}{}
		<-gate
		return nil
	}})
	first := make(chan error)
	go func() { _, err := put(s, 10); first <- err }()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	d, err := s.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	second := make(chan error)
	go func() { _, err := d.Commit(ctx, simple(), []string{"d"}); second <- err }()
	waitFor(t, func() bool {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return len(s.queue.mail) == 1
	})
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want Canceled while the writer is busy", err)
	}
	close(gate)
	if err := <-first; err != nil {
		t.Error(err)
	}
	mustPut(t, s, 1)
	if _, err := s.Get(t.Context(), d.ID()); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("what was withdrawn: %v, want ErrNotFound", err)
	}
}

func TestQueueOrder(t *testing.T) {
	q := newOpQueue()
	add := func(name string, o op) {
		o.err = errors.New(name)
		if err := q.add(&o); err != nil {
			t.Fatal(err)
		}
	}
	for i := range maxBatchOps {
		add(fmt.Sprint("mail ", i), op{size: 1})
	}
	add("big", op{size: maxBatchBytes})
	add("alone", op{mark: true, alone: func() error { return nil }})
	add("mark", op{mark: true})
	first, second, third, fourth := q.take(), q.take(), q.take(), q.take()
	if len(first) != 1 || first[0].err.Error() != "alone" {
		t.Errorf("first %d ops, beginning with %v", len(first), first[0].err)
	}
	if len(second) != maxBatchOps || second[0].err.Error() != "mark" || second[1].err.Error() != "mail 0" {
		t.Errorf("second %d ops, beginning with %v, %v", len(second), second[0].err, second[1].err)
	}
	if len(third) != 1 || len(fourth) != 1 || fourth[0].err.Error() != "big" {
		t.Errorf("%d and %d ops at last", len(third), len(fourth))
	}
}

// TestLeasePins verifies that a delivery whose change waits for its commit is
// neither claimed nor loaded, and that its lease comes back if the commit fails.
func TestLeasePins(t *testing.T) {
	ls := newLeases()
	due := makeDueKey(lane{1, false, 2}, tickOf(noon), queue.DeliveryKey{Message: 3})
	key := due.delivery()
	l := queue.Lease{Key: key, Token: ls.grant(due, noon)}
	ls.expire(noon)
	if !ls.free(key) || !ls.owns(l) || ls.others(3) != 0 {
		t.Error("a lease past its end must be there for another, and for its holder")
	}
	ls.pin(key, due)
	if ls.free(key) || ls.owns(l) {
		t.Error("a pinned delivery is open to somebody")
	}
	ls.rolledBack([]queue.DeliveryKey{key})
	if !ls.owns(l) {
		t.Error("the lease did not come back")
	}
	ls.renew(l, noon.Add(time.Hour))
	if ls.free(key) || ls.others(3) != 1 {
		t.Error("the lease was not renewed")
	}
	ls.pin(key, due)
	ls.committed([]queue.DeliveryKey{key}, nil, nil)
	if !ls.free(key) || ls.owns(l) || ls.others(3) != 0 || len(ls.held) != 0 {
		t.Error("the lease did not end with the commit")
	}
}
