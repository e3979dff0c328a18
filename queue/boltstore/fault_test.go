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

func TestNoSpaceAtCommit(t *testing.T) {
	var full atomic.Int64 // commits to fail
	path := filepath.Join(t.TempDir(), "queue.db")
	s := openAt(t, path, Options{Ballast: 1 << 20, commitFault: func() error {
		if full.Add(-1) >= 0 {
			return writeError(syscall.ENOSPC)
		}
		return nil
	}})
	ballast := filepath.Join(filepath.Dir(path), "ballast")
	size := func() int64 {
		info, err := os.Stat(ballast)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	mustPut(t, s, 10)
	mustPut(t, s, 10)
	ls := take(t, s, 2)

	full.Store(1)
	if _, err := put(s, 10); !errors.Is(err, queue.ErrNoSpace) {
		t.Errorf("accepting: %v, want ErrNoSpace", err)
	}
	if size() != 1<<20 {
		t.Error("the ballast was given up for new mail")
	}
	full.Store(1)
	if err := deliver(s, ls[0]); err != nil {
		t.Errorf("recording with little space: %v", err)
	}
	s.opts.StatFS = func(string) (int64, error) { return 0, nil }
	full.Store(2)
	if err := deliver(s, ls[1]); err != nil {
		t.Errorf("recording with the ballast: %v", err)
	}
	if size() != 0 {
		t.Error("the ballast is still there")
	}
	s.opts.StatFS = diskFree
	mustPut(t, s, 10)
	if size() != 1<<20 {
		t.Error("the ballast was not restored")
	}
	mustCheck(t, s)

	s.opts.StatFS = func(string) (int64, error) { return 1 << 40, nil }
	full.Store(1000)
	if err := deliver(s, take(t, s, 1)[0]); !errors.Is(err, queue.ErrFailed) {
		t.Errorf("recording without any space: %v, want ErrFailed", err)
	}
}

// TestNoSpaceMixed commits outcomes and new mail together when the disk is full.
func TestNoSpaceMixed(t *testing.T) {
	gate, entered := make(chan error), make(chan struct{})
	s := openTemp(t, Options{Ballast: -1, commitFault: func() error {
		entered <- struct{}{}
		return <-gate
	}})
	accepted := make(chan error)
	accept := func() { go func() { _, err := put(s, 10); accepted <- err }() }
	accept()
	<-entered
	gate <- nil
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	l := take(t, s, 1)[0]
	accept() // holds the writer while the others gather
	<-entered
	accept()
	recorded := make(chan error)
	go func() { recorded <- deliver(s, l) }()
	waitFor(t, func() bool {
		s.queue.mu.Lock()
		defer s.queue.mu.Unlock()
		return len(s.queue.marks) == 1 && len(s.queue.mail) == 1
	})
	gate <- nil
	<-entered
	gate <- writeError(syscall.ENOSPC)
	<-entered
	gate <- nil
	if err := <-recorded; err != nil {
		t.Errorf("recording: %v", err)
	}
	got := []error{<-accepted, <-accepted}
	if (got[0] == nil) == (got[1] == nil) || !errors.Is(errors.Join(got...), queue.ErrNoSpace) {
		t.Errorf("accepting: %v, want one success and ErrNoSpace", got)
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

func TestFloor(t *testing.T) {
	var free atomic.Int64
	free.Store(1 << 40)
	s := openTemp(t, Options{FreeFloor: 1000, StatFS: func(string) (int64, error) { return free.Load(), nil }})
	mustPut(t, s, 10)
	d, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	free.Store(999)
	if _, err := s.Create(t.Context()); !errors.Is(err, queue.ErrNoSpace) {
		t.Errorf("Create: %v, want ErrNoSpace", err)
	}
	if _, err := d.Write(make([]byte, 3<<20)); !errors.Is(err, queue.ErrNoSpace) {
		t.Errorf("Write: %v, want ErrNoSpace", err)
	}
	if _, err := d.Commit(t.Context(), simple(), []string{"d"}); !errors.Is(err, queue.ErrNoSpace) {
		t.Errorf("Commit: %v, want ErrNoSpace", err)
	}
	if err := deliver(s, take(t, s, 1)[0]); err != nil {
		t.Errorf("Record: %v", err)
	}
	st, err := s.Stats(t.Context())
	if err != nil || st.DiskFree != 999 || st.DiskFloor != 1000 {
		t.Errorf("Stats: %+v, %v", st, err)
	}
	free.Store(1000)
	mustPut(t, s, 10)
	mustCheck(t, s)
}

// TestRollback verifies that a failed commit leaves no trace in memory.
func TestRollback(t *testing.T) {
	var full atomic.Bool
	s := openTemp(t, Options{Ballast: -1, commitFault: func() error {
		if full.Load() {
			return writeError(syscall.ENOSPC)
		}
		return nil
	}})
	first := mustPut(t, s, 10)
	var seen []queue.Destination
	stop := s.Watch(func(ds []queue.Destination) { seen = append(seen, ds...) })
	defer stop()
	full.Store(true)
	for range 3 {
		if _, err := put(s, 10); !errors.Is(err, queue.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	full.Store(false)
	if len(seen) != 0 {
		t.Errorf("watchers were told of %v", seen)
	}
	if ls := take(t, s, 5); len(ls) != 1 || ls[0].Key.Message != first {
		t.Errorf("claimed %v", ls)
	}
	mustPut(t, s, 10)
	mustCheck(t, s)
	if d, err := s.Destinations(t.Context(), "", 5); err != nil || len(d) != 1 || d[0].Count != 2 {
		t.Errorf("destinations %v, %v", d, err)
	}
}

// TestFullDisk runs out of space on a file system of its own.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	s := openAt(t, filepath.Join(dir, "queue.db"), Options{
		Ballast: 4 << 20,
		// The floor would refuse mail long before the disk is full.
		StatFS: func(string) (int64, error) { return 0, nil }, FreeFloor: -1,
	})
	var ids []queue.ID
	for {
		id, err := put(s, 50_000)
		if errors.Is(err, queue.ErrNoSpace) {
			break
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", len(ids), err)
		}
		ids = append(ids, id)
	}
	if len(ids) < 100 {
		t.Errorf("%d messages fit", len(ids))
	}
	for i, l := range take(t, s, len(ids)) {
		if err := deliver(s, l); err != nil {
			t.Fatalf("record %d of %d: %v", i, len(ids), err)
		}
	}
	mustPut(t, s, 50_000)
	mustCheck(t, s)
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
