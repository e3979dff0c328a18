package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/queue"
)

// deliveryTime bounds what is no command, the wait for locks included.
const deliveryTime = 5 * time.Minute

// Job is what a request takes: who has to do it, and by which means.
type Job struct {
	// Owner is the user who has to do it.
	Owner User
	// Group is the gid to do it with: that of "mail" for a mailbox to which only
	// root and the account "mail" can rearrange the way, since users cannot make
	// lock files there; for everything else the owner's own.
	Group int
	// Command tells that a command may be run.
	Command bool
	// Limit bounds the time that it takes.
	Limit time.Duration

	means     means
	path      string // of the mailbox or file
	forward   string // path of the .forward to look at first
	extension string
	mailbox   bool     // the command is how everybody's mail is delivered
	line      string   // the command, as it was written
	argv      []string // the words of the command, if no shell has to find them
	dir       string   // where the command runs; the home directory if empty
}

// means is how a Job is done.
type means uint8

const (
	toMbox means = iota
	toMaildir
	toFile
	toCommand
	toNowhere // it is thrown away
	toReader  // a file is read
)

// Plan says what a delivery takes. It looks at directories but opens no file. If
// nobody can make the delivery, refused is what Deliver would answer.
func (m *Mailboxes) Plan(e Envelope) (j Job, refused *Outcome) {
	return planned(m.plan(e))
}

// PlanForward says what Forward takes, or answers in its place.
func (m *Mailboxes) PlanForward(user string) (j Job, answer *Outcome) {
	u, _, err := m.resolve(user)
	var r *refusal
	if errors.As(err, &r) && r.Result == queue.Failed {
		return Job{}, &Outcome{Result: queue.Pending} // who is unknown here has no .forward
	}
	if err != nil {
		return planned(Job{}, err)
	}
	path := m.forwardOf(u)
	if path == "" {
		return Job{}, &Outcome{Result: queue.Pending}
	}
	return Job{Owner: *u, Group: u.GID, Limit: deliveryTime, means: toReader, forward: path}, nil
}

// PlanInclude says what Include takes, or answers in its place.
func (m *Mailboxes) PlanInclude(user, path string) (j Job, answer *Outcome) {
	u, err := m.actor(user)
	if err == nil && (!filepath.IsAbs(path) || strings.Contains(path, "\x00")) {
		err = failed("5.2.4", fmt.Sprintf("include file %q: the path must be absolute", path))
	}
	if err != nil {
		return planned(Job{}, err)
	}
	return Job{Owner: *u, Group: u.GID, Limit: deliveryTime, means: toReader, path: path}, nil
}

func planned(j Job, err error) (Job, *Outcome) {
	if err == nil {
		return j, nil
	}
	o := outcomeOf(err)
	return Job{}, &o
}

func (m *Mailboxes) plan(e Envelope) (Job, error) {
	switch e.Target.Kind {
	case queue.TargetAddress, queue.TargetUser, queue.TargetMailbox:
		return m.planMailbox(e)
	case queue.TargetFile, queue.TargetCommand:
		return m.planTarget(e)
	}
	return Job{}, temporary("4.3.5", fmt.Sprintf("this program knows no target of kind %d: was it downgraded?", e.Target.Kind))
}

// planMailbox finds a user's mailbox, and the .forward that comes before it.
func (m *Mailboxes) planMailbox(e Envelope) (Job, error) {
	switch m.template.scheme {
	case "off":
		return Job{}, failed("5.7.1", "local delivery is off")
	case "lmtp":
		return Job{}, temporary("4.3.5", "mailboxes are kept by an LMTP server (local.mailbox): nothing but the delivery agent can deliver to them")
	}
	u, extension, err := m.recipient(e)
	if err != nil {
		return Job{}, err
	}
	j := Job{Owner: *u, Group: u.GID, Limit: deliveryTime, extension: extension}
	if e.Target.Kind != queue.TargetMailbox {
		j.forward = m.forwardOf(u)
	}
	if m.template.scheme == "pipe" {
		return m.planPipe(j, e)
	}
	if m.template.scheme == "maildir" {
		j.means = toMaildir
	}
	if j.path, err = m.template.expand(u, e.To.Domain); err != nil {
		return Job{}, err
	}
	if m.mailGID >= 0 && m.guarded(j.path, u) == nil {
		j.Group = m.mailGID
	}
	return j, nil
}

// recipient is the user whose mailbox is meant, with the extension.
func (m *Mailboxes) recipient(e Envelope) (*User, string, error) {
	if e.Target.Value == "" || e.Target.Kind == queue.TargetAddress {
		return m.resolve(e.To.Local)
	}
	u, err := m.login(e.Target.Value)
	return u, e.Target.Extension, err
}

func (m *Mailboxes) planPipe(j Job, e Envelope) (Job, error) {
	if j.Owner.UID == 0 {
		return Job{}, temporary("4.3.5", fmt.Sprintf("will not run %q as root: name somebody who gets the mail of %s in the alias file", m.template.text, j.Owner.Name))
	}
	j.means, j.Command, j.mailbox = toCommand, true, true
	j.Limit += m.commandTimeout
	j.line = m.template.text
	j.argv = m.template.command(&j.Owner, e.To.Domain, j.extension)
	return j, nil
}

// planTarget looks after what alias files and users' .forward files name.
func (m *Mailboxes) planTarget(e Envelope) (Job, error) {
	t := e.Target
	u, err := m.actor(t.User)
	if err != nil {
		return Job{}, err
	}
	j := Job{Owner: *u, Group: u.GID, Limit: deliveryTime, extension: t.Extension}
	if t.Kind == queue.TargetFile {
		j.means, j.path = toFile, filepath.Clean(t.Value)
		if !filepath.IsAbs(t.Value) || strings.Contains(t.Value, "\x00") || strings.HasSuffix(t.Value, "/") {
			err = failed("5.3.5", fmt.Sprintf("%q is not the path of a file: it must be absolute", t.Value))
		}
		if j.path == os.DevNull {
			j.means = toNowhere
		}
		return j, err
	}
	if strings.TrimSpace(t.Value) == "" || strings.Contains(t.Value, "\x00") {
		return Job{}, failed("5.3.5", fmt.Sprintf("%q is not a command", t.Value))
	}
	j.means, j.Command, j.line = toCommand, true, t.Value
	j.Limit += m.commandTimeout
	if t.User == "" {
		j.dir = "/"
	}
	if words, simple := split(t.Value, ""); simple {
		j.argv = words
	}
	return j, nil
}

// Able tells whether this process can do a job, being the user that it is. Only
// mailboxes of the kind mbox, which are locked and checked as such, may be written
// by others than their owner: by root, and by who has the right to.
func (m *Mailboxes) Able(j Job) bool {
	own := j.Owner.UID == os.Geteuid()
	switch {
	case j.means == toNowhere:
		return true
	case j.forward != "" && !own && !absent(j.forward):
		return false
	case j.means == toMbox:
		return m.mayWrite(j)
	case j.means == toReader && j.path == "":
		return true // there is no .forward, as anybody can see
	}
	return own
}

// mayWrite looks at the rights to a mailbox and, for locks, its directory.
func (m *Mailboxes) mayWrite(j Job) bool {
	euid := os.Geteuid()
	if euid == 0 {
		return m.guarded(j.path, &j.Owner) == nil
	}
	if unix.Access(filepath.Dir(j.path), unix.W_OK) != nil {
		return false
	}
	err := unix.Access(j.path, unix.R_OK|unix.W_OK)
	return err == nil || errors.Is(err, unix.ENOENT) && j.Owner.UID == euid
}

// absent is sure that a file is not there: who may not look knows nothing.
func absent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// alone refuses what only the owner may do.
func alone(j Job) error {
	if os.Geteuid() == j.Owner.UID {
		return nil
	}
	return temporary("4.3.5", fmt.Sprintf("only a process of user %s can do this: systemctl enable --now postrider-local.socket, or start postrider as root", j.Owner.Name))
}
