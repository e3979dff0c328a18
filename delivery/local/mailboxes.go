package local

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// defaultLockTimeout bounds the wait for a mailbox that others have locked.
	defaultLockTimeout = 30 * time.Second
	// StuckAfter is for how long a delivery to a mailbox may make others wait before
	// they are put off: one takes milliseconds, if nobody holds it up.
	StuckAfter = 5 * time.Second
	// defaultCommandTimeout bounds a command.
	defaultCommandTimeout = 15 * time.Minute
)

// Options of New. Only Template must be set.
type Options struct {
	// Template says where mail of users goes: "mbox:" or "maildir:" and an absolute
	// path in which {user}, {home} and {domain} stand for the user's name, the home
	// directory and the recipient's domain in lower case; "pipe:" and a command
	// whose words may have these and {extension}; "lmtp:" and anything, for which
	// mailboxes are refused here; or "off".
	Template string
	// Forward is the path of users' .forward files, with {user} and {home}; empty or
	// "off" if none are read.
	Forward string
	// Delimiter parts a user's name from an extension; empty if there are none.
	Delimiter string
	// DefaultUser owns the files and runs the commands that belong to no user;
	// "nobody" by default.
	DefaultUser string
	// CommandTimeout bounds a command; 15 minutes by default.
	CommandTimeout time.Duration
	// Environment is what commands get beside the variables of the delivery, as
	// "NAME=value"; see Locale.
	Environment []string
	// Lookup finds a user; nil without error if there is none. By default it
	// asks the password database.
	Lookup func(name string) (*User, error)
	// Hostname names this host in lock files and names of files; by default the
	// kernel's host name.
	Hostname string
	// Logger takes what an administrator must look after; by default nothing is
	// logged.
	Logger *slog.Logger
	// LockTimeout bounds the wait for locks; 30 s by default.
	LockTimeout time.Duration
	// Now is the clock of From_ lines and file names; time.Now by default.
	Now func() time.Time
}

// Mailboxes delivers to the users of this host. It is safe for concurrent use.
// A process should have one: deliveries to the same file take turns within it.
type Mailboxes struct {
	template       template
	forward        template
	delimiter      string
	defaultUser    string
	commandTimeout time.Duration
	environment    []string
	lookup         func(name string) (*User, error)
	hostname       string
	host           string // hostname as lock files have it
	log            *slog.Logger
	lockTimeout    time.Duration
	now            func() time.Time
	mailUID        int           // owner of spool directories besides root; -1 if none
	mailGID        int           // group of new mailboxes; -1 for the user's own
	turns          Turns[string] // by path
	named          atomic.Uint64 // messages that got a name in a Maildir
}

// New checks the options. An error about a template names what there is.
func New(o Options) (*Mailboxes, error) {
	t, err := parseTemplate(o.Template)
	if err != nil {
		return nil, err
	}
	forward, err := parseForward(o.Forward)
	if err != nil {
		return nil, err
	}
	m := &Mailboxes{
		template:       t,
		forward:        forward,
		delimiter:      o.Delimiter,
		defaultUser:    cmp.Or(o.DefaultUser, "nobody"),
		commandTimeout: cmp.Or(o.CommandTimeout, defaultCommandTimeout),
		environment:    o.Environment,
		lookup:         o.Lookup,
		hostname:       o.Hostname,
		log:            o.Logger,
		lockTimeout:    cmp.Or(o.LockTimeout, defaultLockTimeout),
		now:            o.Now,
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
	if m.hostname == "" {
		if m.hostname, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("read host name for lock files: %w", err)
		}
	}
	m.host = lockOwner(m.hostname)
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
