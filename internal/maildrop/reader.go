package maildrop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/queue"
)

// tempLife is how old an unfinished file must be to be taken for a leftover.
const tempLife = 24 * time.Hour

// namesAtOnce bounds how much of a crowded directory is held in memory.
const namesAtOnce = 1000

// Reader empties a maildrop directory. Its fields are set before the first call
// and not changed after; one goroutine at a time calls Scan or Run.
type Reader struct {
	// Dir is the maildrop directory, Quarantine where damaged files go. Both must
	// exist, on one file system.
	Dir, Quarantine string
	// Accept stores a message: when it returns nil the message is durable. It
	// reads the body with d.Read and must not store it if that fails.
	Accept func(ctx context.Context, d *Drop) error
	// Logger takes what went wrong with single files.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time

	// stuck holds names that could be neither read nor moved, so that each is
	// complained of once.
	stuck map[string]bool
}

// Scan takes over all finished files that are there and returns how many. A file
// that cannot be taken now stays; the error says why Scan stopped early.
func (r *Reader) Scan(ctx context.Context) (taken int, err error) {
	dir, err := os.Open(r.Dir)
	if err != nil {
		return 0, fmt.Errorf("read maildrop: %w", err)
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(namesAtOnce)
		if errors.Is(err, io.EOF) {
			return taken, nil
		}
		if err != nil {
			return taken, fmt.Errorf("read maildrop: %w", err)
		}
		slices.Sort(names)
		n, err := r.takeAll(ctx, dir, names)
		taken += n
		if err != nil {
			return taken, err
		}
	}
}

func (r *Reader) takeAll(ctx context.Context, dir *os.File, names []string) (taken int, err error) {
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return taken, err
		}
		if strings.HasPrefix(name, tempPrefix) {
			r.removeStale(name)
		}
		if !strings.HasPrefix(name, finishedPrefix) {
			continue
		}
		accepted, err := r.take(ctx, dir, name)
		if accepted {
			taken++
		}
		switch {
		case err == nil:
		case ctx.Err() != nil || isOurTrouble(err):
			return taken, fmt.Errorf("take over maildrop file %s: %w", name, err)
		default:
			r.complain(name, err)
		}
	}
	return taken, nil
}

// isOurTrouble tells the errors that the next file would meet as well.
func isOurTrouble(err error) bool {
	return errors.Is(err, queue.ErrNoSpace) || errors.Is(err, queue.ErrFailed) || errors.Is(err, queue.ErrClosed)
}

// take handles one file: into the queue, or into the quarantine.
func (r *Reader) take(ctx context.Context, dir *os.File, name string) (accepted bool, err error) {
	d, err := openDrop(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = r.accept(ctx, d)
	}
	switch {
	case err == nil:
		return true, removeFile(dir, name)
	case errors.Is(err, ErrDamaged), errors.Is(err, ErrRefused):
		return false, r.quarantine(name, err)
	}
	return false, err
}

func (r *Reader) accept(ctx context.Context, d *Drop) error {
	defer d.close()
	if err := r.Accept(ctx, d); err != nil {
		return err
	}
	if d.left > 0 {
		return fmt.Errorf("accepted with %d bytes unread", d.left)
	}
	return nil
}

func removeFile(dir *os.File, name string) error {
	err := unix.Unlinkat(int(dir.Fd()), name, 0)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the message is queued but its file cannot be removed: %w", err)
	}
	return nil
}

// removeStale removes what a process left that died while it wrote.
func (r *Reader) removeStale(name string) {
	path := filepath.Join(r.Dir, name)
	st, err := os.Lstat(path)
	if err != nil || st.IsDir() || r.now().Sub(st.ModTime()) < tempLife {
		return
	}
	if err := os.Remove(path); err != nil {
		r.complain(name, err)
		return
	}
	r.Logger.Info("removed unfinished maildrop file", "file", name, "modified", st.ModTime())
}

func (r *Reader) complain(name string, err error) {
	if r.stuck[name] {
		return
	}
	if r.stuck == nil || len(r.stuck) > namesAtOnce {
		r.stuck = map[string]bool{}
	}
	r.stuck[name] = true
	r.Logger.Warn("maildrop file stays where it is", "file", filepath.Join(r.Dir, name), "error", err)
}

func (r *Reader) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}
