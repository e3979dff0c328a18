package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"postrider/internal/config"
	"postrider/queue"
	"postrider/queue/boltstore"
)

const (
	maildropMode = fs.ModeSticky | fs.ModeSetgid | 0o733
	lockWait     = 3 * time.Second
	// Compaction pays when more than half of a file of some size is free. Whether
	// it is, is looked at when the daemon starts and then every compactEvery.
	compactFrom  = 256 << 20
	compactEvery = time.Hour
)

// openSpool makes the directories if they are missing and opens the database.
func openSpool(ctx context.Context, c *config.Config, logger *slog.Logger) (queue.Store, error) {
	if err := makeDirectories(c); err != nil {
		return nil, err
	}
	store, err := boltstore.Open(c.QueueDB(), boltstore.Options{Logger: logger, MaxMessage: int64(c.Submission.MaxMessageSize), LockTimeout: lockWait})
	if errors.Is(err, queue.ErrLocked) {
		return nil, fmt.Errorf("%w; stop the other daemon first, or name another spool", err)
	}
	if err != nil {
		return nil, err
	}
	if err := compact(ctx, store, logger); err != nil {
		store.Close()
		return nil, err
	}
	return store, nil
}

// compact gives space back to the file system where that pays.
func compact(ctx context.Context, store queue.Store, logger *slog.Logger) error {
	stats, err := store.Stats(ctx)
	if err != nil || stats.FileFree < compactFrom || stats.FileFree < stats.FileSize/2 {
		return err
	}
	logger.Info("compacting the spool", "size", stats.FileSize, "free", stats.FileFree)
	return store.Compact(ctx)
}

func makeDirectories(c *config.Config) error {
	for _, dir := range []struct {
		path string
		mode fs.FileMode
	}{{c.Spool, 0o755}, {c.Maildrop(), maildropMode}, {c.Quarantine(), 0o700}} {
		err := os.Mkdir(dir.path, dir.mode.Perm())
		if errors.Is(err, fs.ErrNotExist) {
			err = os.MkdirAll(dir.path, dir.mode.Perm())
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = os.Chmod(dir.path, dir.mode)
		}
		if err != nil {
			return fmt.Errorf("spool: %w; make it with the daemon's user as owner", err)
		}
	}
	return nil
}
