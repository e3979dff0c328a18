package logins

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/xdg-go/scram"
)

const (
	saltSize    = 16
	newFileMode = 0o640
	// maxPassword is more than fits into an AUTH command of our server.
	maxPassword = 1024
)

// ErrUnknown says that there is no login of that name.
var ErrUnknown = errors.New("no such login")

// Set gives a login a password and reports whether the login is new. A file that
// has to be made belongs to the group gid, if that is not negative.
func Set(path, name, password string, gid int) (added bool, err error) {
	if err := CheckName(name); err != nil {
		return false, err
	}
	switch {
	case password == "":
		return false, fmt.Errorf("the password is empty")
	case len(password) > maxPassword:
		return false, fmt.Errorf("the password has more than %d bytes", maxPassword)
	}
	salt := make([]byte, saltSize)
	rand.Read(salt) // never fails
	c, err := derive(password, scram.KeyFactors{Salt: string(salt), Iters: iterations})
	if err != nil {
		return false, fmt.Errorf("the password has characters that not every client sends alike (RFC 4013): %w; choose others", err)
	}
	entry := line{name: name, credentials: c, text: format(name, c)}
	err = edit(path, gid, func(lines []line) ([]line, error) {
		i := slices.IndexFunc(lines, func(l line) bool { return l.name == name })
		if added = i < 0; added {
			return append(lines, entry), nil
		}
		lines[i] = entry
		return lines, nil
	})
	return added, err
}

// Delete removes a login.
func Delete(path, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return edit(path, -1, func(lines []line) ([]line, error) {
		kept := slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.name == name })
		if len(kept) == len(lines) {
			return nil, fmt.Errorf("%w: %s", ErrUnknown, name)
		}
		return kept, nil
	})
}

// List gives the names in the order of the file.
func List(path string) ([]string, error) {
	lines, err := load(path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range lines {
		if l.name != "" {
			names = append(names, l.name)
		}
	}
	return names, nil
}

// derive hashes a password.
func derive(password string, f scram.KeyFactors) (scram.StoredCredentials, error) {
	client, err := scram.SHA256.NewClient("", password, "")
	if err != nil {
		return scram.StoredCredentials{}, err
	}
	return client.GetStoredCredentialsWithError(f)
}

// edit replaces the file by what fn makes of it, whole or not at all. Two at a time
// come one after the other: the directory is locked.
func edit(path string, gid int, fn func([]line) ([]line, error)) error {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("file of logins: %w", err)
	}
	defer dir.Close()
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", dir.Name(), err)
	}
	lines, err := load(path)
	if err != nil {
		return err
	}
	if lines, err = fn(lines); err != nil {
		return err
	}
	if err := replace(path, gid, lines); err != nil {
		return fmt.Errorf("write file of logins: %w", err)
	}
	if err := dir.Sync(); err != nil {
		return fmt.Errorf("write file of logins: sync %s: %w", dir.Name(), err)
	}
	return nil
}

// replace puts a new file in the place of the old one, whose owner, group and mode
// it gets.
func replace(path string, gid int, lines []line) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".users-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := inherit(f, path, gid); err != nil {
		return err
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text + "\n")
	}
	if _, err := f.WriteString(b.String()); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func inherit(f *os.File, path string, gid int) error {
	uid, mode := -1, fs.FileMode(newFileMode)
	info, err := os.Stat(path)
	if err == nil {
		mode = info.Mode().Perm()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			uid, gid = int(st.Uid), int(st.Gid)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The owner first: a mode that lets the group read is for the right group only.
	if uid >= 0 || gid >= 0 {
		if err := f.Chown(uid, gid); err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}
