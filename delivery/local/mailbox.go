package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// spot is a file of the kind mbox: a user's mailbox, or one that an alias or a
// .forward names.
type spot struct {
	path  string
	owner *User // of a named file, whom we are
	named bool
}

// mailbox is an open, checked file with both locks held.
type mailbox struct {
	spot
	file    *os.File
	created bool
	lock    *dotLock // nil where none can be made
}

// acquire opens and locks a mailbox, waiting for other programs to let go of it.
func (m *Mailboxes) acquire(ctx context.Context, s spot) (*mailbox, error) {
	deadline := time.NewTimer(m.lockTimeout)
	defer deadline.Stop()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		box, err := m.try(s)
		if !errors.Is(err, errBusy) {
			return box, err
		}
		select {
		case <-time.After(pause):
		case <-deadline.C:
			return nil, temporary("4.2.0", fmt.Sprintf("mailbox %s stayed locked for %v: %v", s.path, m.lockTimeout, err))
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for mailbox %s: %w", s.path, ctx.Err())
		}
	}
}

// try takes both locks or neither, without waiting: whoever waits for the second
// with the first in hand may wait for someone who does the reverse.
func (m *Mailboxes) try(s spot) (*mailbox, error) {
	lock, err := takeDotLock(s.path, m.host, m.log)
	// Whoever may write to a named file need not be able to make others beside it.
	optional := s.named && (errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS))
	if err != nil && !optional {
		return nil, err
	}
	box := &mailbox{spot: s, lock: lock}
	if err := m.open(box); err != nil {
		box.release(m.log)
		return nil, err
	}
	return box, nil
}

// open opens the file, makes sure that it is what it should be, and locks it.
func (m *Mailboxes) open(box *mailbox) error {
	const flags = os.O_RDWR | os.O_APPEND | unix.O_NOFOLLOW | unix.O_NONBLOCK
	var err error
	box.file, err = os.OpenFile(box.path, flags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		err = m.create(box, flags)
	}
	switch {
	case errors.Is(err, unix.ELOOP):
		return temporary("4.2.0", fmt.Sprintf("mailbox %s is a symbolic link: put the file itself there", box.path))
	case errors.Is(err, unix.EISDIR):
		return temporary("4.2.0", fmt.Sprintf("mailbox %s is a directory: move it away, or let local.mailbox say maildir:", box.path))
	case errors.Is(err, fs.ErrExist):
		return fmt.Errorf("%s is being made: %w", box.path, errBusy)
	case err != nil:
		return fmt.Errorf("open mailbox: %w", err)
	}
	if err := m.give(box); err != nil {
		return err
	}
	opened, err := box.check()
	if err != nil {
		return err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	err = unix.FcntlFlock(box.file.Fd(), unix.F_SETLK, &lock)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%s has an fcntl lock: %w", box.path, errBusy)
	}
	if err != nil {
		return fmt.Errorf("lock mailbox %q: %w", box.path, err)
	}
	// A mail reader may have replaced the file between our open and our lock.
	if named, err := os.Lstat(box.path); err != nil || !os.SameFile(opened, named) {
		return fmt.Errorf("%s was replaced: %w", box.path, errBusy)
	}
	return nil
}

// create makes the user's first mailbox, if the file will be the user's.
func (m *Mailboxes) create(box *mailbox, flags int) error {
	u := box.owner
	if euid := os.Geteuid(); euid != 0 && euid != u.UID {
		return temporary("4.3.0", fmt.Sprintf("mailbox %s does not exist and only root can make one for %s: create it, owned by %s, group mail, mode 0660, or run local delivery as root", box.path, u.Name, u.Name))
	}
	box.created = true
	var err error
	box.file, err = os.OpenFile(box.path, flags|os.O_CREATE|os.O_EXCL, 0o600)
	return err
}

// give makes the user the owner of a file that root created, now or in a
// delivery that was cut short: then it is still empty.
func (m *Mailboxes) give(box *mailbox) error {
	u := box.owner
	if os.Geteuid() != 0 {
		return nil
	}
	fi, err := box.file.Stat()
	if err != nil {
		return fmt.Errorf("stat mailbox: %w", err)
	}
	leftOver := fi.Mode().IsRegular() && fi.Size() == 0 && linkCount(fi) == 1 && ownerOf(fi) == 0
	if !box.created && !leftOver {
		return nil
	}
	gid := m.mailGID
	if gid < 0 {
		gid = u.GID
	}
	if err := box.file.Chown(u.UID, gid); err != nil {
		return fmt.Errorf("give mailbox to %s: %w", u.Name, err)
	}
	return nil
}

// check refuses a file that would take the message elsewhere. The message waits:
// nothing is lost while an administrator looks.
func (box *mailbox) check() (fs.FileInfo, error) {
	u := box.owner
	fi, err := box.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("stat mailbox: %w", err)
	}
	switch {
	case !fi.Mode().IsRegular():
		return nil, temporary("4.2.0", fmt.Sprintf("mailbox %s is not a regular file", box.path))
	case linkCount(fi) > 1:
		return nil, temporary("4.2.0", fmt.Sprintf("mailbox %s has %d names (hard links): remove the others", box.path, linkCount(fi)))
	case box.named && fi.Mode()&0o111 != 0:
		return nil, temporary("4.2.0", fmt.Sprintf("file %s is a program (mode %#o): will not append to it", box.path, fi.Mode().Perm()))
	case !box.named && ownerOf(fi) != u.UID:
		return nil, notOwned(box.path, fi, *u)
	}
	return fi, nil
}

// append lets write add a message at the end, or leaves the file as it was.
func (box *mailbox) append(log *slog.Logger, write func(io.Writer) error) error {
	size, gap, err := box.end()
	if err != nil {
		return fmt.Errorf("read end of mailbox: %w", err)
	}
	if _, err = io.WriteString(box.file, gap); err == nil {
		err = write(box.file)
	}
	if err == nil {
		err = box.sync()
	}
	if err == nil {
		return nil
	}
	if cut := errors.Join(box.file.Truncate(size), box.file.Sync()); cut != nil {
		log.Error("mailbox may end in a part of a message: cut it back by hand", "path", box.path, "size", size, "err", cut)
	}
	return fmt.Errorf("append to mailbox %s: %w", box.path, err)
}

// end gives the file's length and the newlines it lacks to end in an empty line,
// as after a delivery that a crash tore off.
func (box *mailbox) end() (size int64, gap string, err error) {
	fi, err := box.file.Stat()
	if err != nil || fi.Size() == 0 {
		return 0, "", err
	}
	size = fi.Size()
	tail := make([]byte, min(size, 2))
	if _, err := box.file.ReadAt(tail, size-int64(len(tail))); err != nil {
		return 0, "", err
	}
	switch string(tail) {
	case "\n\n", "\n":
		return size, "", nil
	}
	if tail[len(tail)-1] == '\n' {
		return size, "\n", nil
	}
	return size, "\n\n", nil
}

// sync makes file and, if it is new, its name durable.
func (box *mailbox) sync() error {
	if err := box.file.Sync(); err != nil || !box.created {
		return err
	}
	return syncDir(filepath.Dir(box.path))
}

// release closes the file, which ends the fcntl lock, and lets go of the dot lock.
func (box *mailbox) release(log *slog.Logger) {
	if box.file != nil {
		// What matters was synced; a late error of close changes nothing.
		_ = box.file.Close()
	}
	if box.lock == nil {
		return
	}
	if err := box.lock.release(); err != nil {
		log.Warn("release mailbox lock", "path", box.path, "err", err)
	}
}

// linkCount gives the number of names of a file, 1 if the system does not tell.
func linkCount(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Nlink)
	}
	return 1
}
