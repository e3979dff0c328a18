package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

func TestOpenNew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	s := openAt(t, path, Options{Ballast: 12345})
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	names := dirNames(t, path)
	if len(names) != 2 || names["ballast"] != 12345 {
		t.Errorf("spool holds %v", names)
	}
	mustCheck(t, s)
}

func dirNames(t *testing.T, path string) map[string]int64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]int64)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		names[e.Name()] = info.Size()
	}
	return names
}

func TestOpenRefuses(t *testing.T) {
	sound := func(t *testing.T) []byte {
		path := filepath.Join(t.TempDir(), "queue.db")
		s, err := Open(path, Options{Ballast: -1})
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			mustPut(t, s, 3000)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, tt := range map[string]struct {
		file func(t *testing.T) []byte
		want error
	}{
		"text":        {func(*testing.T) []byte { return bytes.Repeat([]byte("hello\n"), 9999) }, queue.ErrForeign},
		"short":       {func(*testing.T) []byte { return []byte("x") }, queue.ErrForeign},
		"empty":       {func(*testing.T) []byte { return nil }, queue.ErrForeign},
		"other bbolt": {func(t *testing.T) []byte { return rawBolt(t, nil) }, queue.ErrForeign},
		"no mark": {func(t *testing.T) []byte {
			return rawBolt(t, func(tx *bolt.Tx) error { return tx.Bucket(metaBucket.name()).Put([]byte(schemaKey), []byte("1")) })
		}, queue.ErrForeign},
		"bucket missing": {func(t *testing.T) []byte {
			return rawBolt(t, func(tx *bolt.Tx) error {
				return tx.Bucket(metaBucket.name()).Put([]byte(schemaKey), binary.BigEndian.AppendUint32([]byte(schemaMagic), uint32(len(migrations()))))
			})
		}, queue.ErrForeign},
		"newer schema": {func(t *testing.T) []byte {
			return rawBolt(t, func(tx *bolt.Tx) error {
				return tx.Bucket(metaBucket.name()).Put([]byte(schemaKey), binary.BigEndian.AppendUint32([]byte(schemaMagic), uint32(len(migrations())+1)))
			})
		}, queue.ErrNewerSchema},
		"cut off":      {func(t *testing.T) []byte { b := sound(t); return b[:len(b)/64] }, queue.ErrForeign},
		"pages zeroed": {func(t *testing.T) []byte { b := sound(t); clear(b[2*pageSize : len(b)/2]); return b }, queue.ErrForeign},
		"pages damaged": {func(t *testing.T) []byte {
			b := sound(t)
			for i := 2 * pageSize; i < len(b); i += pageSize {
				copy(b[i+8:], "\x02\x00\xff\xff\xff\xff\xff\xff")
			}
			return b
		}, queue.ErrForeign},
	} {
		t.Run(name, func(t *testing.T) {
			content := tt.file(t)
			path := filepath.Join(t.TempDir(), "queue.db")
			if err := os.WriteFile(path, content, 0o640); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				s, err := Open(path, Options{})
				if err == nil {
					err = s.Close()
					t.Fatalf("opened; close: %v", err)
				}
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %q, want %q with the path, on one line", err, tt.want)
				}
			}
			after, err := os.ReadFile(path)
			if err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file was changed (%v)", err)
			}
			if names := dirNames(t, path); len(names) != 1 {
				t.Errorf("left in the spool: %v", names)
			}
		})
	}
}

// rawBolt makes a bbolt file with a meta bucket.
func rawBolt(t *testing.T, fill func(*bolt.Tx) error) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "raw.db")
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		if fill == nil {
			_, err := tx.CreateBucket([]byte("something"))
			return err
		}
		if _, err := tx.CreateBucket(metaBucket.name()); err != nil {
			return err
		}
		return fill(tx)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOpenLocked(t *testing.T) {
	s := openTemp(t, Options{})
	for _, wait := range []time.Duration{time.Millisecond, 0} {
		start := time.Now()
		_, err := Open(s.path, Options{LockTimeout: wait})
		if !errors.Is(err, queue.ErrLocked) || !strings.Contains(err.Error(), s.path) {
			t.Errorf("error %v, want ErrLocked with the path", err)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("took %v", took)
		}
	}
	mustPut(t, s, 1)
}

func TestOpenBadOptions(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "queue.db"), Options{Node: 16}); err == nil {
		t.Error("node 16 was taken")
	}
	if _, err := Open(filepath.Join(t.TempDir(), "missing", "queue.db"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

// TestOpenTogether has several create the same store: one gets it.
func TestOpenTogether(t *testing.T) {
	for range 5 {
		path := filepath.Join(t.TempDir(), "queue.db")
		stores := make([]*Store, 4)
		errs := make([]error, len(stores))
		var wg sync.WaitGroup
		for i := range stores {
			wg.Go(func() { stores[i], errs[i] = Open(path, Options{LockTimeout: 10 * time.Millisecond, Ballast: -1}) })
		}
		wg.Wait()
		opened := 0
		for i, s := range stores {
			if s == nil {
				if !errors.Is(errs[i], queue.ErrLocked) {
					t.Errorf("error %v, want ErrLocked", errs[i])
				}
				continue
			}
			opened++
			mustPut(t, s, 10)
			mustCheck(t, s)
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
		if opened != 1 {
			t.Errorf("opened %d times", opened)
		}
	}
}

// TestSweep leaves a large draft unfinished and files of an unfinished compaction.
func TestSweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	s, err := Open(path, Options{Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	id := mustPut(t, s, 5<<20)
	d, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write(make([]byte, 100<<20)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+newSuffix, []byte("left over"), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{Ballast: -1})
	if n := rows(t, s, bodyBucket); n != 20 {
		t.Errorf("%d chunks are left, want 20 of the accepted message", n)
	}
	if n := rows(t, s, stagedBucket); n != 0 {
		t.Errorf("%d bodies are left", n)
	}
	if names := dirNames(t, path); len(names) != 1 {
		t.Errorf("left in the spool: %v", names)
	}
	if _, err := s.Get(t.Context(), id); err != nil {
		t.Error(err)
	}
	mustCheck(t, s)
}

func rows(t *testing.T, s *Store, n bucket) (count int) {
	t.Helper()
	err := s.view(func(v *view) error {
		return v.bucket(n).ForEach(func(_, _ []byte) error { count++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// TestDamagedRecord verifies that a record that cannot be decoded stops only what
// concerns it, and that Check names it.
func TestDamagedRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	s, err := Open(path, Options{Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	bad, good := mustPut(t, s, 10), mustPut(t, s, 10)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		return tx.Bucket(workBucket.name()).Put(deliveryKey(queue.DeliveryKey{Message: bad}), []byte("garbage"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, path, Options{Ballast: -1})
	errs := make(chan error, 2)
	for _, l := range take(t, s, 2) {
		go func() {
			err := deliver(s, l)
			if (l.Key.Message == good) != (err == nil) {
				t.Errorf("record of %s: %v", l.Key.Message, err)
			}
			errs <- err
		}()
	}
	for range 2 {
		<-errs
	}
	if n, err := s.Delete(t.Context(), noon, "", bad); err == nil {
		t.Errorf("deleted %d damaged messages", n)
	}
	mustPut(t, s, 10)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), bad.String()) {
		t.Errorf("Check: %v, want it to name %s", err, bad)
	}
}

func TestCompactShrinks(t *testing.T) {
	free := int64(1 << 40)
	s := openTemp(t, Options{Ballast: -1, FreeFloor: 1, StatFS: func(string) (int64, error) { return free, nil }})
	for range 10 {
		mustPut(t, s, 8<<20)
	}
	for _, l := range take(t, s, 9) {
		if err := deliver(s, l); err != nil {
			t.Fatal(err)
		}
	}
	before, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if before.FileFree < before.FileSize/2 {
		t.Errorf("before: %+v, want most of it free", before)
	}
	free = 1 << 20
	if err := s.Compact(t.Context()); !errors.Is(err, queue.ErrNoSpace) {
		t.Errorf("compact without space: %v", err)
	}
	free = 1 << 40
	if err := s.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, err := s.Stats(t.Context())
	if err != nil || after.FileSize > before.FileSize/2 || after.Messages != 1 || after.Bytes != 8<<20 {
		t.Errorf("after: %+v, %v", after, err)
	}
	if _, err := Open(s.path, Options{LockTimeout: time.Millisecond}); !errors.Is(err, queue.ErrLocked) {
		t.Errorf("the new file is not locked: %v", err)
	}
	if names := dirNames(t, s.path); len(names) != 1 {
		t.Errorf("left in the spool: %v", names)
	}
	mustPut(t, s, 10)
	mustCheck(t, s)
}
