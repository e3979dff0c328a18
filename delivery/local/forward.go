package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/queue"
)

const (
	// maxForward bounds a .forward; nobody types more.
	maxForward = 64 << 10
	// maxInclude bounds an include file, a list of perhaps thirty thousand.
	maxInclude = 1 << 20
)

// Forward looks whether a user has a .forward: queue.Expanded with its text,
// queue.Pending if there is none, queue.Temporary if that cannot be told.
func (m *Mailboxes) Forward(ctx context.Context, user string) Outcome {
	j, answer := m.PlanForward(user)
	if answer != nil {
		return *answer
	}
	text, err := m.readForward(j)
	switch {
	case err == nil && ctx.Err() != nil:
		return outcomeOf(ctx.Err())
	case err != nil:
		return outcomeOf(err)
	case text == "":
		return Outcome{Result: queue.Pending}
	}
	return expanded(j.forward, text)
}

// forwardOf is the path of a user's .forward; empty if none is read. That of root
// never is: it would be read as root.
func (m *Mailboxes) forwardOf(u *User) string {
	if m.forward.scheme == "off" || u.UID == 0 || m.forward.home && !filepath.IsAbs(u.Home) {
		return ""
	}
	path, err := m.forward.expand(u, "")
	if err != nil {
		return ""
	}
	return path
}

// readForward gives the text of a .forward, empty if there is none that counts.
// Trouble on the way to it is an error: the home directory may be back later.
func (m *Mailboxes) readForward(j Job) (string, error) {
	if j.forward == "" || absent(j.forward) {
		return "", nil
	}
	if err := alone(j); err != nil {
		return "", err
	}
	text, err := readOwn(j.forward, j.Owner.UID)
	var broken *brokenRule
	if errors.As(err, &broken) {
		m.log.Warn("ignored a .forward and used the mailbox", "path", j.forward, "user", j.Owner.Name, "reason", broken.text)
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read .forward of user %s: %w; mail waits until the user can read it", j.Owner.Name, err)
	}
	if !saysAnything(text) {
		return "", nil
	}
	return text, nil
}

// brokenRule says why a .forward is not the user's word.
type brokenRule struct{ text string }

func (b *brokenRule) Error() string { return b.text }

// readOwn reads a file that only its user, or root, can have written.
func readOwn(path string, uid int) (string, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil // gone since we looked
	case errors.Is(err, unix.ELOOP):
		if _, err := os.Lstat(path); err != nil {
			return "", err // a loop on the way to it
		}
		return "", &brokenRule{"it is a symbolic link"}
	case errors.Is(err, unix.ENXIO):
		return "", &brokenRule{"it is not a regular file"}
	case err != nil:
		return "", err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", err
	}
	owner := ownerOf(fi)
	switch {
	case !fi.Mode().IsRegular():
		return "", &brokenRule{"it is not a regular file"}
	case owner != uid && owner != 0:
		return "", &brokenRule{fmt.Sprintf("it belongs to uid %d", owner)}
	case fi.Mode()&0o022 != 0:
		return "", &brokenRule{fmt.Sprintf("others may write to it (mode %#o): chmod go-w", fi.Mode().Perm())}
	case linkCount(fi) != 1:
		return "", &brokenRule{fmt.Sprintf("it has %d names (hard links)", linkCount(fi))}
	}
	text, err := readUpTo(f, maxForward)
	if errors.Is(err, errTooLarge) {
		return "", &brokenRule{err.Error()}
	}
	return text, err
}

var errTooLarge = errors.New("it is too large")

func readUpTo(r io.Reader, limit int64) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(text)) > limit {
		err = fmt.Errorf("%w: more than %d KiB", errTooLarge, limit>>10)
	}
	return string(text), err
}

// saysAnything tells whether a line is neither empty nor a comment.
func saysAnything(text string) bool {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return true
		}
	}
	return false
}

// Include reads a file of addresses that an alias file or a .forward names, as the
// user, or as the default user if none is given: queue.Expanded with its text,
// queue.Failed if it does not exist, queue.Temporary if it cannot be read.
func (m *Mailboxes) Include(ctx context.Context, user, path string) Outcome {
	j, answer := m.PlanInclude(user, path)
	if answer != nil {
		return *answer
	}
	text, err := readList(j)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = failed("5.2.4", fmt.Sprintf("include file %s does not exist", path))
	case err == nil:
		err = ctx.Err()
	}
	if err != nil {
		o := outcomeOf(err)
		if o.Result == queue.Temporary && o.Status == "4.3.0" {
			o.Status = "4.2.4"
		}
		return o
	}
	o := expanded(path, text)
	o.Text = "read " + path
	return o
}

func readList(j Job) (string, error) {
	if err := alone(j); err != nil {
		return "", err
	}
	f, err := os.OpenFile(j.path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "", fmt.Errorf("read include file as user %s: %w; make it readable for %s, or take it out of the .forward", j.Owner.Name, err, j.Owner.Name)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	var text string
	if err == nil {
		text, err = readUpTo(f, maxInclude)
	}
	if err != nil {
		return "", fmt.Errorf("read include file %s as user %s: %w", j.path, j.Owner.Name, err)
	}
	return text, nil
}
