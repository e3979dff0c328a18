package e2e

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/control"
	"postrider/internal/smtptest"
	"postrider/queue"
	"postrider/queue/boltstore"
)

type (
	item          = control.Item
	itemRecipient = control.ItemRecipient
)

// stage is a host that programs take for the whole machine: they see accounts,
// aliases and mailboxes of its own, in a mount namespace. The machine's stay as
// they are.
type stage struct {
	*host
	namespace int // open file
	tmp       string
	relay     *smtptest.Sink        // takes what leaves the host, if it is not to stay
	kept      map[queue.ID]*cliCase // messages that stay in the queue
}

// Accounts of the stage, by role.
var accounts = map[string]int{"root": 0, "service": 33, "user": 1001, "user2": 1002, "user3": 1003}

const passwd = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
postrider:x:%[1]d:%[1]d:mail system:/:/usr/sbin/nologin
alice:x:1001:1001:Alice Q. Example,Room 1,555:%[2]s/home/alice:/bin/sh
bob:x:1002:1002:Bob (the) "B" Builder:%[2]s/home/bob:/bin/sh
carol:x:1003:1003:& Amper:%[2]s/home/carol:/bin/sh
`

// newStage makes a stage; the daemon is not started.
func newStage(t *testing.T, s settings) *stage {
	t.Helper()
	st := &stage{host: newHost(t, s), kept: map[queue.ID]*cliCase{}}
	st.settings["hostname"], st.settings["origin"] = quoted("testhost.example.org"), quoted("example.org")
	relay := "127.0.0.1:1" // nobody listens
	if _, stays := s["local_domains"]; stays && strings.Contains(s["local_domains"], "example.org") {
		st.relay = smtptest.NewSink(t, smtptest.Options{DSN: true})
		relay = st.relay.Addr().String()
	}
	st.tables = fmt.Sprintf("[[smarthost]]\naddress = %q\ntls = \"none\"\n", relay)
	st.configure()
	st.furnish()
	st.openNamespace()
	return st
}

// startStage makes a stage with a running daemon.
func startStage(t *testing.T, s settings) *stage {
	t.Helper()
	st := newStage(t, s)
	st.launchDaemon()
	return st
}

// launchDaemon starts the daemon as root, as a service manager does; it becomes
// the spool's owner and keeps a helper for local delivery.
func (s *stage) launchDaemon() {
	s.t.Helper()
	s.launch(s.command(0, "postrider", "daemon")).ready()
}

// furnish makes the files that the stage has of its own.
func (s *stage) furnish() {
	s.t.Helper()
	s.tmp = s.path("tmp")
	for dir, mode := range map[string]os.FileMode{"etc": 0o755, "etc/postrider": 0o755, "mail": 0o775 | os.ModeSetgid, "home": 0o755, "tmp": 0o777} {
		err := os.MkdirAll(s.path(dir), 0o755)
		if err = errors.Join(err, os.Chmod(s.path(dir), mode)); err != nil {
			s.t.Fatal(err)
		}
	}
	group, shadow := "mail:x:8:\n", ""
	for line := range strings.Lines(fmt.Sprintf(passwd, s.user, s.dir)) {
		f := strings.Split(line, ":")
		shadow += f[0] + ":*:19000:0:99999:7:::\n"
		if f[0] != "mail" {
			group += f[0] + ":x:" + f[3] + ":\n"
		}
	}
	for name, text := range map[string]string{
		"passwd": fmt.Sprintf(passwd, s.user, s.dir), "group": group, "shadow": shadow, "aliases": "", "mailname": "example.org\n",
		"hosts": "127.0.0.1 localhost testhost.example.org\n", "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"resolv.conf": "",
	} {
		if err := os.WriteFile(s.path("etc/"+name), []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	err := errors.Join(os.Symlink(s.path("postrider.toml"), s.path("etc/postrider/postrider.toml")), os.Chown(s.path("mail"), 0, 8))
	for _, user := range []string{"alice", "bob", "carol"} {
		uid := accounts[map[string]string{"alice": "user", "bob": "user2", "carol": "user3"}[user]]
		err = errors.Join(err, os.Mkdir(s.path("home/"+user), 0o755), os.Chown(s.path("home/"+user), uid, uid))
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// openNamespace gives the test's goroutine, and what it starts, a view of its own
// of the file system. The goroutine keeps its thread, which ends with it.
func (s *stage) openNamespace() {
	s.t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		s.t.Skipf("no mount namespace here: %v", err)
	}
	err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	for from, to := range map[string]string{"etc": "/etc", "mail": "/var/mail"} {
		if err == nil {
			err = unix.Mount(s.path(from), to, "", unix.MS_BIND, "")
		}
	}
	if err == nil {
		s.namespace, err = unix.Open("/proc/thread-self/ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		s.t.Fatalf("mount namespace: %v", err)
	}
	s.t.Cleanup(func() { unix.Close(s.namespace) })
}

// within is the stage for a subtest, whose goroutine it brings into the namespace.
func (s *stage) within(t *testing.T) *stage {
	t.Helper()
	runtime.LockOSThread()
	if err := errors.Join(unix.Unshare(unix.CLONE_FS), unix.Setns(s.namespace, unix.CLONE_NEWNS)); err != nil {
		t.Fatalf("enter mount namespace: %v", err)
	}
	h := *s.host
	h.t = t
	sub := *s
	sub.host = &h
	return &sub
}

// call runs a case's command line as its user.
func (s *stage) call(c *cliCase) result {
	s.t.Helper()
	cmd := s.command(accounts[c.Role], "sendmail")
	for _, a := range c.Argv {
		cmd.Args = append(cmd.Args, s.expand(a))
	}
	if c.Argv0 != "" {
		cmd.Args[0] = c.Argv0
	}
	if len(c.FdsClosed) > 0 {
		script := `exec "$@"`
		for _, fd := range c.FdsClosed {
			script += fmt.Sprintf(" %d>&-", fd)
		}
		cmd.Args = append([]string{"sh", "-c", script, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
	}
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	for k, v := range c.Env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	cmd.Stdin = strings.NewReader(string(c.input(s.t)))
	return run(s.t, cmd)
}

// ids names what is in the queue.
func (s *stage) ids() (ids []string) {
	s.t.Helper()
	for _, i := range s.queue() {
		ids = append(ids, i.ID.String())
	}
	return ids
}

// since gives what has come into the queue since it held what before names.
func (s *stage) since(before []string) []item {
	s.t.Helper()
	return slices.DeleteFunc(s.queue(), func(i item) bool { return slices.Contains(before, i.ID.String()) })
}

// stored names what is in the spool of a daemon that does not run.
func (s *stage) stored() (ids []string) {
	s.t.Helper()
	s.inSpool(func(e queue.Entry) { ids = append(ids, e.Message.ID.String()) })
	return ids
}

// inSpool calls fn with each message in the spool of a daemon that does not run.
func (s *stage) inSpool(fn func(queue.Entry)) {
	s.t.Helper()
	store, err := boltstore.Open(s.path("spool/queue.db"), boltstore.Options{Ballast: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	defer store.Close()
	entries, _, err := store.List(s.t.Context(), queue.Filter{}, 0, 1000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		fn(e)
	}
}

// forget takes messages from the queue, but for those whose reports are looked at
// later.
func (s *stage) forget(c *cliCase, items ...item) {
	s.t.Helper()
	for _, i := range items {
		if c.Expect.DSN != nil {
			s.kept[i.ID] = c
			continue
		}
		if r := s.postrider("queue", "delete", i.ID.String()); r.code != 0 {
			s.t.Fatalf("queue delete: %s", r.stderr)
		}
	}
}

func (s *stage) rename(from, to string) {
	s.t.Helper()
	if err := os.Rename(from, to); err != nil {
		s.t.Fatal(err)
	}
}

// specialStage makes a stage with what one case asks for.
func specialStage(t *testing.T, c *cliCase) *stage {
	t.Helper()
	s := settings{"local_domains": `["nowhere.test"]`}
	if c.Setup.SizeLimit > 0 {
		s["submission.max_message_size"] = quoted(fmt.Sprint(c.Setup.SizeLimit))
	}
	if c.Setup.Denied {
		s["submission.deny_users"] = `["alice"]`
	}
	st := newStage(t, s)
	if c.Setup.Full != "" {
		st.smallDisk("spool", "96m", st.user)
	}
	st.launchDaemon()
	if c.Setup.Full != "" {
		st.fill("spool/filler", everything)
	}
	return st
}
