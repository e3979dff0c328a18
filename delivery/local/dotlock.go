package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// staleAfter is the age at which a dot lock counts as left behind. Programs that
// keep one for longer touch it; procmail, Postfix and liblockfile wait for five
// minutes or more.
const staleAfter = 5 * time.Minute

// errBusy says that another program holds a lock.
var errBusy = errors.New("locked by another program")

// dotLock is a held "<mailbox>.lock".
type dotLock struct {
	path string
	info fs.FileInfo
}

// takeDotLock tries once. The lock is a hard link to a file of ours: link(2)
// either makes it or finds one there, on NFS too, and the link count tells the
// truth when a reply got lost.
func takeDotLock(mailbox, host string, log *slog.Logger) (*dotLock, error) {
	own, err := newLockFile(mailbox, host)
	if err != nil {
		return nil, fmt.Errorf("create lock file: %w", err)
	}
	defer os.Remove(own)
	lock := mailbox + ".lock"
	err = os.Link(own, lock)
	if errors.Is(err, fs.ErrExist) && breakStale(lock, own, host, log) {
		err = os.Link(own, lock)
	}
	info, statErr := os.Lstat(own)
	switch {
	case statErr != nil:
		return nil, fmt.Errorf("check lock file: %w", statErr)
	case linkCount(info) == 2:
		return &dotLock{lock, info}, nil
	case errors.Is(err, fs.ErrExist):
		return nil, fmt.Errorf("%s exists: %w", lock, errBusy)
	case err == nil:
		return nil, fmt.Errorf("%s vanished: %w", lock, errBusy)
	}
	return nil, fmt.Errorf("create lock: %w", err)
}

// newLockFile makes a file that says who we are.
func newLockFile(mailbox, host string) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(mailbox), filepath.Base(mailbox)+".lock.*")
	if err != nil {
		return "", err
	}
	_, err = fmt.Fprintf(f, "%d %s\n", os.Getpid(), host)
	if err := errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// breakStale removes a lock that its holder left behind. The lock is first moved
// aside and looked at again, since another program may have replaced the stale
// one by its own meanwhile.
func breakStale(lock, own, host string, log *slog.Logger) bool {
	judged, stale := judge(lock, own, host)
	if !stale {
		return false
	}
	aside := own + ".stale"
	if err := os.Rename(lock, aside); err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer os.Remove(aside)
	if now, err := os.Lstat(aside); err != nil || !os.SameFile(judged, now) {
		if err := os.Link(aside, lock); err != nil {
			log.Error("put back another program's mailbox lock", "lock", lock, "err", err)
		}
		return false
	}
	log.Warn("removed a stale mailbox lock", "lock", lock)
	return true
}

// judge tells whether a lock is stale: older than staleAfter by the file
// system's own clock, or made by a process of this host that is no more.
func judge(lock, own, host string) (fs.FileInfo, bool) {
	info, err := os.Lstat(lock)
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	ours, err := os.Lstat(own)
	if err != nil {
		return nil, false
	}
	return info, ours.ModTime().Sub(info.ModTime()) > staleAfter || holderDied(lock, host)
}

// holderDied reads what newLockFile wrote. Locks of other programs have no host
// name, so that their process may be on any machine or in any container.
func holderDied(lock, host string) bool {
	f, err := os.OpenFile(lock, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 512))
	if err != nil {
		return false
	}
	words := strings.Fields(string(text))
	if len(words) != 2 || words[1] != host {
		return false
	}
	pid, err := strconv.Atoi(words[0])
	return err == nil && pid > 0 && errors.Is(unix.Kill(pid, 0), unix.ESRCH)
}

// release removes the lock unless somebody broke it and has one there now.
func (l *dotLock) release() error {
	info, err := os.Lstat(l.path)
	if err != nil || !os.SameFile(info, l.info) {
		return fmt.Errorf("mailbox lock %q was taken away meanwhile", l.path)
	}
	return os.Remove(l.path)
}
