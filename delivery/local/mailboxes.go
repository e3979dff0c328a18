package local

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// defaultLockTimeout bounds the wait for a mailbox that others have locked.
const defaultLockTimeout = 30 * time.Second

// Options of New. Only Template must be set.
type Options struct {
	// Template says where mailboxes are: "mbox:" and an absolute path in which
	// {user}, {home} and {domain} stand for the user's name, the home directory
	// and the recipient's domain in lower case; or "off".
	Template string
	// Lookup finds a user; nil without error if there is none. By default it
	// asks the password database.
	Lookup func(name string) (*User, error)
	// Hostname names this host in lock files; by default the kernel's host name.
	Hostname string
	// Logger takes what an administrator must look after; by default nothing is
	// logged.
	Logger *slog.Logger
	// LockTimeout bounds the wait for locks; 30 s by default.
	LockTimeout time.Duration
	// Now is the clock of From_ lines; time.Now by default.
	Now func() time.Time
}

// Mailboxes delivers to the users of this host. It is safe for concurrent use.
// A process should have one: deliveries to the same file take turns within it.
type Mailboxes struct {
	template    template
	lookup      func(name string) (*User, error)
	host        string
	log         *slog.Logger
	lockTimeout time.Duration
	now         func() time.Time
	mailUID     int // owner of spool directories besides root; -1 if none
	mailGID     int // group of new mailboxes; -1 for the user's own
	gates       gates
}

// New checks the options. A template of a scheme other than mbox is an error
// that names what there is.
func New(o Options) (*Mailboxes, error) {
	t, err := parseTemplate(o.Template)
	if err != nil {
		return nil, err
	}
	m := &Mailboxes{
		template:    t,
		lookup:      o.Lookup,
		host:        o.Hostname,
		log:         o.Logger,
		lockTimeout: cmp.Or(o.LockTimeout, defaultLockTimeout),
		now:         o.Now,
	}
	if m.lookup == nil {
		m.lookup = lookupPasswd
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	if m.now == nil {
		m.now = time.Now
	}
	if m.host == "" {
		if m.host, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("read host name for lock files: %w", err)
		}
	}
	m.host = lockOwner(m.host)
	m.mailUID, m.mailGID = mailAccount()
	return m, nil
}

// lockOwner names what a process id in a lock file is valid for: the host, and
// on Linux the pid namespace, since containers may share mailboxes and names.
func lockOwner(host string) string {
	host = clean(host, true)
	if namespace, err := os.Readlink("/proc/self/ns/pid"); err == nil {
		host += "/" + clean(namespace, true)
	}
	return host
}

// mailAccount gives uid and gid of the "mail" account, each -1 if there is none.
func mailAccount() (uid, gid int) {
	uid, gid = -1, -1
	if u, err := user.Lookup("mail"); err == nil {
		uid = number(u.Uid)
	}
	if g, err := user.LookupGroup("mail"); err == nil {
		gid = number(g.Gid)
	}
	return uid, gid
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// Envelope is what a delivery needs to know besides the message.
type Envelope struct {
	// From is the reverse-path; null for reports.
	From address.Address
	// To is the recipient.
	To address.Address
	// Original is the recipient as the sender gave it, plain or as
	// "rfc822;address"; empty if it is not known. It becomes X-Original-To.
	Original string
}

// Outcome is what became of a delivery.
type Outcome struct {
	// Result is queue.Delivered, queue.Temporary or queue.Failed.
	Result queue.Result
	// Status is the enhanced status code (RFC 3463).
	Status string
	// Text says in one line what happened and, if an administrator can mend it, how.
	Text string
}

// Deliver appends one message to the mailbox of the recipient. open yields the
// message from its start, header first, with LF line ends; it is called twice.
// On queue.Delivered the message is on stable storage.
func (m *Mailboxes) Deliver(ctx context.Context, env Envelope, open func() (io.ReadCloser, error)) Outcome {
	path, err := m.deliver(ctx, env, open)
	if err != nil {
		return outcomeOf(err)
	}
	return Outcome{Result: queue.Delivered, Status: "2.0.0", Text: "delivered to " + path}
}

func (m *Mailboxes) deliver(ctx context.Context, env Envelope, open func() (io.ReadCloser, error)) (string, error) {
	u, path, err := m.find(env.To)
	if err != nil {
		return "", err
	}
	if err := m.guard(path, u); err != nil {
		return "", err
	}
	if err := checkLoop(env.To, open); err != nil {
		return "", err
	}
	return path, m.deposit(ctx, u, path, env, open)
}

// deposit locks the mailbox and appends the message to it.
func (m *Mailboxes) deposit(ctx context.Context, u *User, path string, env Envelope, open func() (io.ReadCloser, error)) error {
	leave, err := m.gates.enter(ctx, path, m.lockTimeout)
	if err != nil {
		return err
	}
	defer leave()
	box, err := m.acquire(ctx, path, u)
	if err != nil {
		return err
	}
	defer box.release(m.log)
	body, err := open()
	if err != nil {
		return fmt.Errorf("open message: %w", err)
	}
	defer body.Close()
	return box.append(m.log, func(w io.Writer) error {
		return writeMessage(w, env, m.now(), contextReader{ctx, body})
	})
}

// contextReader ends a long copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
