package boltstore

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// Store implements queue.Store on a bbolt file. It is made by Open.
type Store struct {
	codec
	path   string
	opts   Options
	log    *slog.Logger
	ids    ids
	leases *leases
	queue  *opQueue
	recent *recent
	large  *large

	// mu is held for reading while db is read, for writing while it is exchanged
	// or closed. The writer goroutine, which does that, uses db without it.
	mu     sync.RWMutex
	db     *bolt.DB
	closed bool

	counters atomic.Pointer[counters]

	// Of the writer goroutine.
	dests   *destinations
	ballast ballast

	watchMu  sync.Mutex
	watchers []*watcher

	failOnce sync.Once
	failure  atomic.Pointer[error]
	failed   chan struct{}
	done     chan struct{} // closed when the writer has ended
}

var _ queue.Store = (*Store)(nil)

func newStore(path string, db *bolt.DB, o Options) (*Store, error) {
	c, err := newCodec()
	if err != nil {
		return nil, err
	}
	s := &Store{
		codec:   c,
		path:    path,
		opts:    o,
		log:     o.Logger,
		leases:  newLeases(),
		queue:   newOpQueue(),
		recent:  newRecent(),
		large:   newLarge(),
		db:      db,
		dests:   newDestinations(),
		ballast: ballast{path: filepath.Join(filepath.Dir(path), "ballast"), size: o.Ballast},
		failed:  make(chan struct{}),
		done:    make(chan struct{}),
	}
	s.ids.node, s.ids.now = uint64(o.Node), o.Now
	return s, nil
}

// view is a read transaction.
type view struct {
	codec
	tx    *bolt.Tx
	large *large
}

func (v *view) bucket(n bucket) *bolt.Bucket { return v.tx.Bucket(n.name()) }

// view reads. Transactions must be short: they keep pages from being used again.
// A page that cannot be read ends the store rather than the process.
func (s *Store) view(fn func(*view) error) (err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.broken(); err != nil {
		return err
	}
	if s.closed {
		return queue.ErrClosed
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = s.fail(fmt.Errorf("read %q: %v", s.path, r))
		}
	}()
	return s.db.View(func(tx *bolt.Tx) error { return fn(&view{s.codec, tx, s.large}) })
}

// usable tells why the store cannot be used, if it cannot.
func (s *Store) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.broken(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return queue.ErrClosed
	}
	return nil
}

// fail ends the store and returns the error that everybody gets from now on.
func (s *Store) fail(cause error) error {
	s.failOnce.Do(func() {
		err := fmt.Errorf("%w: %w", queue.ErrFailed, cause)
		s.failure.Store(&err)
		s.log.Error("spool storage has failed; check the disk, then restart", "path", s.path, "error", cause)
		close(s.failed)
	})
	return s.broken()
}

func (s *Store) broken() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// Failed implements queue.Store.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Close implements queue.Store. What was submitted before is still committed.
func (s *Store) Close() error {
	s.queue.close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close spool %q: %w", s.path, err)
	}
	return nil
}

// watcher is a function given to Watch.
type watcher struct{ fn func([]queue.Destination) }

// Watch implements queue.Store.
func (s *Store) Watch(fn func([]queue.Destination)) (stop func()) {
	w := &watcher{fn}
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	s.watchers = append(s.watchers, w)
	return func() {
		s.watchMu.Lock()
		defer s.watchMu.Unlock()
		for i, other := range s.watchers {
			if other == w {
				s.watchers = append(s.watchers[:i:i], s.watchers[i+1:]...)
				return
			}
		}
	}
}

func (s *Store) notify(changed []queue.Destination) {
	if len(changed) == 0 {
		return
	}
	s.watchMu.Lock()
	defer s.watchMu.Unlock()
	for _, w := range s.watchers {
		w.fn(append([]queue.Destination(nil), changed...))
	}
}
