package aliases

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks is how many symbolic links the kernel follows.
const maxLinks = 40

// misleading says that a path leads to a file that is none of the business of the
// user who made it lead there.
type misleading struct{ text string }

func (m *misleading) Error() string { return m.text }

// way is what was met on a path.
type way struct {
	cur  string   // resolved so far
	rest []string // names that follow
	// user is the first, besides root and ourselves, who can make the path lead
	// elsewhere; -1 if there is none.
	user int
	// public tells that everybody may read what it leads to.
	public bool
	// loose tells that others than its owner may change something on the path.
	loose bool
	links int
	last  fs.FileInfo
}

// checkWay looks at the path by which a file was opened. What bad lines a list has
// is told to the sender, so that a user whose list an alias includes, and who puts a
// link to a file of ours in its place, would get to read that. Such a user may lead
// us to files of the user's own, and to those that anybody can read.
func checkWay(path string, opened fs.FileInfo) error {
	w := newWay(path)
	if err := w.walk(); err != nil {
		return err
	}
	owner := uidOf(opened)
	switch {
	case w.last == nil || !os.SameFile(w.last, opened):
		return &misleading{"it was replaced while it was read"}
	case w.user >= 0 && w.user != owner && !(w.public && opened.Mode()&0o004 != 0):
		return &misleading{fmt.Sprintf("it can be replaced by uid %d but leads to a file of uid %d, which not everybody may read: chown that to uid %d, or name another file in the alias", w.user, owner, w.user)}
	}
	return nil
}

// isOurs tells whether only root and we ourselves can say what a path leads to.
func isOurs(path string) bool {
	w := newWay(path)
	return w.walk() == nil && w.user < 0 && !w.loose
}

func newWay(path string) way {
	return way{cur: "/", rest: strings.Split(path, "/"), user: -1, public: true}
}

// walk goes to the end.
func (w *way) walk() error {
	for len(w.rest) > 0 {
		if err := w.step(); err != nil {
			return err
		}
	}
	return nil
}

// step goes on by one name.
func (w *way) step() error {
	name := w.rest[0]
	w.rest = w.rest[1:]
	switch name {
	case "", ".":
		return nil
	case "..":
		w.cur = filepath.Dir(w.cur)
		return nil
	}
	at := filepath.Join(w.cur, name)
	info, err := os.Lstat(at)
	if err != nil {
		return err
	}
	if uid := uidOf(info); w.user < 0 && uid != 0 && uid != os.Geteuid() {
		w.user = uid
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return w.follow(at)
	}
	if info.IsDir() && info.Mode()&0o001 == 0 {
		w.public = false
	}
	w.loose = w.loose || info.Mode()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0
	w.cur, w.last = at, info
	return nil
}

func (w *way) follow(link string) error {
	if w.links++; w.links > maxLinks {
		return syscall.ELOOP
	}
	target, err := os.Readlink(link)
	if err != nil {
		return err
	}
	if filepath.IsAbs(target) {
		w.cur = "/"
	}
	w.rest = append(strings.Split(target, "/"), w.rest...)
	return nil
}

// uidOf gives the owner of a file; -1 if the system does not tell.
func uidOf(info fs.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}
