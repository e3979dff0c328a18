package local

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// guard keeps a delivery that runs as root out of directories which the user, or
// any other, could rearrange while we write: they could lead root anywhere.
func (m *Mailboxes) guard(path string, u *User) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return m.guarded(path, u)
}

// guarded is nil where only root and the account "mail" can rearrange the way to
// a mailbox.
func (m *Mailboxes) guarded(path string, u *User) error {
	if m.template.home && u.UID != 0 {
		return temporary("4.3.5", fmt.Sprintf("will not write to %s as root: keep mailboxes in a directory of root's, such as mbox:/var/mail/{user}, or run local delivery as another user", path))
	}
	dir := filepath.Dir(path)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return fmt.Errorf("find mail directory: %w", err)
	}
	for _, chain := range []string{dir, real} {
		if err := m.guardChain(chain); err != nil {
			return err
		}
	}
	return nil
}

// guardChain looks at a directory and all that lead to it.
func (m *Mailboxes) guardChain(dir string) error {
	for ; ; dir = filepath.Dir(dir) {
		fi, err := os.Lstat(dir)
		if err != nil {
			return fmt.Errorf("check mail directory: %w", err)
		}
		if owner := ownerOf(fi); owner != 0 && owner != m.mailUID {
			return temporary("4.3.5", fmt.Sprintf("will not deliver as root below %s, which belongs to uid %d: make it root's", dir, owner))
		}
		renamable := fi.Mode()&0o002 != 0 && fi.Mode()&fs.ModeSticky == 0
		if renamable && fi.IsDir() {
			return temporary("4.3.5", fmt.Sprintf("will not deliver as root below %s, where anyone may rename: chmod +t it or take away o+w", dir))
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
	}
}

// ownerOf gives the uid of a file's owner, -1 if the system does not tell.
func ownerOf(fi fs.FileInfo) int {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
