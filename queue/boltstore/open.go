package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"postrider/queue"
)

// pageSize is that of new files. It holds several small bodies, and makes a
// quarter of the bookkeeping that 4 KiB make.
const pageSize = 16 << 10

// newSuffix marks files that are to take the place of the database.
const newSuffix = ".new"

// Open opens the store in the file at path and makes it if there is none; its
// directory must exist. It fails with queue.ErrLocked if another process has it
// open, with queue.ErrForeign and queue.ErrNewerSchema for files that it leaves as
// they are. The store is to be closed with Close.
func Open(path string, o Options) (*Store, error) {
	o = o.withDefaults()
	if o.Node > maxNode {
		return nil, fmt.Errorf("node %d: want 0 to %d", o.Node, maxNode)
	}
	db, err := openFile(path, o)
	if err != nil {
		return nil, err
	}
	s, err := newStore(path, db, o)
	if err == nil {
		err = s.begin()
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.sweep(context.Background()); err != nil {
		return nil, errors.Join(fmt.Errorf("open spool %q: %w", path, err), s.Close())
	}
	return s, nil
}

// openFile opens or makes the database.
func openFile(path string, o Options) (*bolt.DB, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		db, err := create(path, o)
		if !errors.Is(err, os.ErrExist) {
			return db, err
		}
	}
	version, err := examine(path, o)
	if err != nil {
		return nil, err
	}
	db, err := openBolt(path, o, false)
	if err != nil {
		return nil, err
	}
	if err := migrate(db, version); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := removeLeftovers(path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// create makes a new database under a temporary name and gives it its name once it
// is complete. It fails with os.ErrExist if another process was faster.
func create(path string, o Options) (*bolt.DB, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+newSuffix+"*")
	if err != nil {
		return nil, fmt.Errorf("create spool %q: %w", path, err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("create spool %q: %w", path, err)
	}
	db, err := openBolt(f.Name(), o, false)
	if err != nil {
		return nil, err
	}
	err = migrate(db, 0)
	if err == nil {
		err = takeName(f.Name(), path)
	}
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// takeName gives a file its final name unless that is taken, as rename would not.
func takeName(temporary, path string) error {
	err := os.Link(temporary, path)
	if _, there := os.Lstat(path); err != nil && there == nil {
		return os.ErrExist
	}
	if err != nil {
		return fmt.Errorf("name spool %q: %w", path, err)
	}
	return nil
}

// openBolt opens the file with our settings. It turns panics of bbolt, which are
// how it meets damaged pages, into errors.
func openBolt(path string, o Options, readOnly bool) (db *bolt.DB, err error) {
	var file *os.File
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			// Closing the file gives up its lock.
			err = errors.Join(foreign(path, fmt.Errorf("it is damaged: %v", r)), file.Close())
		}
	}()
	db, err = bolt.Open(path, 0o600, &bolt.Options{
		Timeout:         o.LockTimeout,
		PageSize:        pageSize,
		NoFreelistSync:  true,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: initialMap(),
		ReadOnly:        readOnly,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, fmt.Errorf("open spool %q: %w; only one may have it open: ask the daemon, or stop it", path, queue.ErrLocked)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, bolterrors.ErrChecksum):
		return nil, foreign(path, err)
	case err != nil && isSystemError(err):
		return nil, fmt.Errorf("open spool %q: %w", path, err)
	case err != nil:
		return nil, foreign(path, err)
	}
	return db, nil
}

// isSystemError tells what the system says from what bbolt finds in the file, for
// which it has not in all cases an error of its own.
func isSystemError(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// initialMap is how much address space is mapped at first. Mapping more later
// waits for all readers.
func initialMap() int {
	if strconv.IntSize == 32 {
		return 256 << 20
	}
	return 1 << 30
}

// foreign says what to do about a file that is no sound store. It has not been
// changed.
func foreign(path string, cause error) error {
	return fmt.Errorf("open spool %q: %w: %w; the file was left as it is: move it away to start empty, or put back a copy that is sound",
		path, queue.ErrForeign, cause)
}

// examine looks at a file without writing to it and returns its schema version.
func examine(path string, o Options) (version int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, fmt.Errorf("open spool %q: %w", path, err)
	}
	if !info.Mode().IsRegular() || info.Size() == 0 {
		return 0, foreign(path, errors.New("it is empty or no regular file"))
	}
	db, err := openBolt(path, o, true)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = foreign(path, fmt.Errorf("it is damaged: %v", r))
		}
	}()
	tx, err := db.Begin(false)
	if err != nil {
		return 0, fmt.Errorf("read spool %q: %w", path, err)
	}
	// A deferred call, so that a panic gives up the transaction that Close waits for.
	defer func() { _ = tx.Rollback() }()
	if tx.Size() > info.Size() {
		return 0, foreign(path, fmt.Errorf("it is cut off: %d bytes of %d", info.Size(), tx.Size()))
	}
	version, err = checkSchema(tx)
	if err != nil {
		return 0, fmt.Errorf("open spool %q: %w", path, err)
	}
	return version, walk(tx)
}

// walk visits every page. bbolt does so too when it opens the file for writing, but
// in a goroutine of its own, where a damaged page would end the process.
func walk(tx *bolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
		c := b.Cursor()
		for k, _ := c.First(); k != nil; k, _ = c.Next() {
			_ = k
		}
		return nil
	})
}

// begin reads what is kept in memory and starts the writer.
func (s *Store) begin() error {
	var c counters
	err := s.view(func(v *view) (err error) {
		c, err = decodeCounters(v.bucket(metaBucket).Get([]byte(countersKey)))
		return err
	})
	if err != nil {
		return foreign(s.path, err)
	}
	s.counters.Store(&c)
	s.ids.last.Store(c.lastID)
	if err := s.ballast.take(); err != nil {
		s.log.Warn("cannot keep space in reserve", "error", err)
	}
	go s.write()
	return nil
}

// removeLeftovers removes what a creation or compaction left when it was cut off.
// The lock on the database is held.
func removeLeftovers(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("look for leftovers of %q: %w", path, err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), filepath.Base(path)+newSuffix) {
			continue
		}
		if err := os.Remove(filepath.Join(filepath.Dir(path), e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove leftover: %w", err)
		}
	}
	return nil
}
