package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"postrider/internal/mailboxd"
)

// leaveRoot makes a daemon that was started as root become the owner of the
// spool, once it has what only root gets: the ports below 1024, the directory of
// the sockets, and the helper for local delivery. Where the spool is root's own,
// or does not exist yet, it stays root, and has the helper become the users whose
// files and commands it keeps its hands off.
func (d *daemon) leaveRoot(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, err := ownerOf(d.config.Spool)
	if errors.Is(err, fs.ErrNotExist) || err == nil && uid == 0 {
		return d.startHelper()
	}
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	if err := d.doors.openTCP(ctx, d.config); err != nil {
		return err
	}
	gid, groups, err := loginGroups(uid, gid)
	if err != nil {
		return err
	}
	if err := makeRunDir(d.config.RunDir, uid, gid); err != nil {
		return fmt.Errorf("run_dir: %w", err)
	}
	if err := d.startHelper(); err != nil {
		return err
	}
	if err := become(uid, gid, groups); err != nil {
		return fmt.Errorf("become uid %d, the owner of %s: %w", uid, d.config.Spool, err)
	}
	d.logger.Info("left root's rights", "uid", uid, "gid", gid)
	return nil
}

// startHelper starts the helper for local delivery, if we know how to.
func (d *daemon) startHelper() (err error) {
	if d.options.Helper == nil {
		return nil
	}
	d.helper, err = mailboxd.Start(d.options.Helper, d.options.Stderr)
	return err
}

// closeHelper ends the helper that leaveRoot started.
func (d *daemon) closeHelper() {
	if d.helper == nil {
		return
	}
	if err := d.helper.Close(); err != nil {
		d.logger.Warn("local delivery helper did not end well", "error", err)
	}
}

// become changes all threads for good. The groups go first: they are root's to set.
func become(uid, gid int, groups []int) error {
	if err := syscall.Setgroups(groups); err != nil {
		return fmt.Errorf("set groups: %w", err)
	}
	if err := syscall.Setresgid(gid, gid, gid); err != nil {
		return fmt.Errorf("set gid: %w", err)
	}
	if err := syscall.Setresuid(uid, uid, uid); err != nil {
		return fmt.Errorf("set uid: %w", err)
	}
	return nil
}

// loginGroups gives the groups that a login of the user would have. A user that
// the password database does not know, as in containers, has the group given.
func loginGroups(uid, gid int) (int, []int, error) {
	u, err := user.LookupId(strconv.Itoa(uid))
	var unknown user.UnknownUserIdError
	if errors.As(err, &unknown) {
		return gid, []int{gid}, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("look up owner of spool: %w", err)
	}
	ids, err := u.GroupIds()
	if err != nil {
		return 0, nil, fmt.Errorf("look up groups of %s: %w", u.Username, err)
	}
	groups := make([]int, len(ids))
	for i, id := range ids {
		if groups[i], err = strconv.Atoi(id); err != nil {
			return 0, nil, fmt.Errorf("look up groups of %s: %w", u.Username, err)
		}
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, nil, fmt.Errorf("look up group of %s: %w", u.Username, err)
	}
	return gid, groups, nil
}

// makeRunDir makes the directory of the sockets where only root can. In a
// directory of another's, the owner of the spool makes it or nobody does.
func makeRunDir(dir string, uid, gid int) error {
	if owner, _, err := ownerOf(filepath.Dir(dir)); err != nil || owner != 0 {
		return nil
	}
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	f, err := os.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chown(uid, gid), f.Close())
}

func ownerOf(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.ErrUnsupported
	}
	return int(st.Uid), int(st.Gid), nil
}
