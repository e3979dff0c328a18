package boltstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// diskFree tells how many bytes an ordinary process may still use where the path is.
func diskFree(path string) (int64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil {
		return 0, fmt.Errorf("ask for the free space of %q: %w", path, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// syncDir makes creations, renames and removals in the file's directory durable.
func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open the spool directory to sync it: %w", err)
	}
	defer func() { _ = dir.Close() }()
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("sync the spool directory: %w", err)
	}
	return nil
}

// lacksSpace tells whether a commit failed for want of space in a way that leaves
// the file sound. That is so when a write was refused: all of it is written again
// by the next commit. When a sync reports it, data that was taken is lost.
func lacksSpace(err error) bool {
	var refused *os.PathError
	return errors.As(err, &refused) && refused.Op == "write" &&
		(errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT))
}

// ballast is a file that holds space until it is needed to record outcomes. The
// writer is its only user.
type ballast struct {
	path string
	size int64
	held bool
}

// take allocates the file.
func (b *ballast) take() error {
	if b.size <= 0 || b.held {
		return nil
	}
	f, err := os.OpenFile(b.path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("create ballast: %w", err)
	}
	defer func() { _ = f.Close() }()
	if err := reserve(f, b.size); err != nil {
		_ = os.Remove(b.path)
		return fmt.Errorf("allocate ballast %q of %d bytes: %w", b.path, b.size, err)
	}
	b.held = true
	return nil
}

// reserve gives the file blocks of its own.
func reserve(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	err := syscall.Fallocate(int(f.Fd()), 0, 0, size)
	if !errors.Is(err, syscall.EOPNOTSUPP) {
		return err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-at)], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// release gives the space back; false if there was none to give.
func (b *ballast) release() bool {
	if !b.held {
		return false
	}
	b.held = false
	return os.Remove(b.path) == nil
}
