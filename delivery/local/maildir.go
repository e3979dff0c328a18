package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// store puts the message into a Maildir: written and synced in tmp, then linked
// into new, so that a reader sees all of it or nothing. Within the directory no
// link leads out of it.
func (m *Mailboxes) store(j Job, message messageWriter) error {
	if err := m.guard(j.path, &j.Owner); err != nil {
		return err
	}
	dir, err := openMaildir(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return temporary("4.3.5", fmt.Sprintf("maildir %s: its directory does not exist, make it", j.path))
	}
	if err != nil {
		return fmt.Errorf("open maildir: %w", err)
	}
	defer dir.Close()
	name := m.uniqueName()
	err = writeFile(dir, "tmp/"+name, message)
	if err == nil {
		err = publish(dir, name)
	}
	if err != nil {
		if gone := dir.Remove("tmp/" + name); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			m.log.Warn("left a part of a message behind", "path", filepath.Join(j.path, "tmp", name), "err", gone)
		}
		return fmt.Errorf("deliver to maildir %s: %w", j.path, err)
	}
	return nil
}

// openMaildir makes what is missing of a Maildir, but not the directory it is in.
func openMaildir(path string) (*os.Root, error) {
	dir, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.Mkdir(path, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			if err = syncDir(filepath.Dir(path)); err == nil {
				dir, err = os.OpenRoot(path)
			}
		}
	}
	if err != nil {
		return nil, err
	}
	made := false
	for _, sub := range []string{"tmp", "new", "cur"} {
		err := dir.Mkdir(sub, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(err, dir.Close())
		}
		made = made || err == nil
	}
	if made {
		if err := syncWithin(dir, "."); err != nil {
			return nil, errors.Join(err, dir.Close())
		}
	}
	return dir, nil
}

// uniqueName follows the rules of maildir(5): time, microsecond, process, number
// of the delivery, and host.
func (m *Mailboxes) uniqueName() string {
	now := m.now()
	host := strings.NewReplacer("/", `\057`, ":", `\072`).Replace(clean(m.hostname, true))
	return fmt.Sprintf("%d.M%dP%dQ%d.%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), m.named.Add(1), host)
}

func writeFile(dir *os.Root, name string, message messageWriter) error {
	f, err := dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = message(f, formatMaildir); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// publish moves a message from tmp to new. A link never takes the place of another
// file; some file systems have only renames.
func publish(dir *os.Root, name string) error {
	from, to := "tmp/"+name, "new/"+name
	err := dir.Link(from, to)
	switch {
	case err == nil:
		err = dir.Remove(from)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		err = dir.Rename(from, to)
	}
	if err == nil {
		err = syncWithin(dir, "new")
	}
	if err != nil {
		// It is delivered again: a reader should not find it twice.
		if gone := dir.Remove(to); gone != nil && !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

func syncWithin(dir *os.Root, name string) error {
	f, err := dir.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
