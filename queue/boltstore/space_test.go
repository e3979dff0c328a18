package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"postrider/queue"
)

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
