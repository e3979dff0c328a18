package boltstore

import (
	"context"
	"errors"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// compactTx bounds the transactions of a compaction, in bytes.
const compactTx = 4 << 20

// Compact implements queue.Store. What is in use is copied to a new file that
// takes the place of the old one. Changes wait meanwhile; reading goes on.
func (s *Store) Compact(ctx context.Context) error {
	return s.submit(ctx, &op{mark: true, alone: s.compact})
}

func (s *Store) compact() error {
	used, err := s.used()
	if err != nil {
		return err
	}
	free, err := s.opts.StatFS(s.path)
	if err != nil {
		return err
	}
	if free < used {
		return fmt.Errorf("%w: compacting takes %d MiB beside the old file, %d MiB are free", queue.ErrNoSpace, used>>20, free>>20)
	}
	temporary := s.path + newSuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("compact spool: %w", err)
	}
	db, err := openBolt(temporary, s.opts, false)
	if err != nil {
		return err
	}
	if err := copyTo(db, s.db); err != nil {
		return errors.Join(fmt.Errorf("compact spool %q: %w", s.path, err), db.Close(), os.Remove(temporary))
	}
	return s.exchange(db, temporary)
}

// used is how many bytes of the file are in use.
func (s *Store) used() (used int64, err error) {
	err = s.db.View(func(tx *bolt.Tx) error {
		used = tx.Size() - freeBytes(s.db)
		return nil
	})
	return used, err
}

// copyTo copies everything and syncs once at the end: until then the copy is of no
// use to anybody.
func copyTo(to, from *bolt.DB) error {
	to.NoSync = true
	defer func() { to.NoSync = false }()
	if err := bolt.Compact(to, from, compactTx); err != nil {
		return err
	}
	return to.Sync()
}

// exchange puts the new database in the place of the old one. Both are locked while
// their names change, so that no other process can come in between.
func (s *Store) exchange(db *bolt.DB, temporary string) error {
	if err := os.Rename(temporary, s.path); err != nil {
		return errors.Join(fmt.Errorf("compact spool: %w", err), db.Close(), os.Remove(temporary))
	}
	s.mu.Lock()
	old := s.db
	s.db = db
	s.mu.Unlock()
	// Nothing is committed to the new file before its name is durable.
	if err := syncDir(s.path); err != nil {
		return errors.Join(s.fail(err), old.Close())
	}
	if err := old.Close(); err != nil {
		s.log.Warn("cannot close the file that was compacted", "path", s.path, "error", err)
	}
	return nil
}
