package boltstore

import (
	"context"
	"fmt"
	"os"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// Stats implements queue.Store. It reads counters.
func (s *Store) Stats(ctx context.Context) (queue.Stats, error) {
	if err := s.usable(ctx); err != nil {
		return queue.Stats{}, err
	}
	c := s.counters.Load()
	st := queue.Stats{
		Messages:     int(c.messages),
		Deliveries:   int(c.deliveries),
		Destinations: int(c.destinations),
		Bytes:        int64(c.bytes),
		DiskFloor:    s.opts.FreeFloor,
	}
	info, err := os.Stat(s.path)
	if err != nil {
		return st, fmt.Errorf("ask for the size of the spool: %w", err)
	}
	st.FileSize = info.Size()
	if st.DiskFree, err = s.opts.StatFS(s.path); err != nil {
		return st, err
	}
	err = s.view(func(v *view) error {
		// The file grows ahead of its last page.
		st.FileFree = max(st.FileSize-v.tx.Size(), 0) + freeBytes(s.db)
		return nil
	})
	return st, err
}

// freeBytes is the size of the pages that are free, or will be when the
// transactions that may still read them have ended.
func freeBytes(db *bolt.DB) int64 {
	pages := db.Stats()
	return int64(pages.FreePageN+pages.PendingPageN) * int64(db.Info().PageSize)
}
