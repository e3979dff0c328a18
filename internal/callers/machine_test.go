package callers

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/smtptest"
)

// machine is a machine with postrider and the programs that call it.
type machine struct {
	root  string
	users map[string]account
	sink  *smtptest.Sink

	mu      sync.Mutex
	claimed map[string]bool // arrivals that a test has asked for, by arrival.id
}

// The machine's names, and where its sink listens.
const (
	hostname = "testhost.example.org"
	relay    = "127.0.0.1:2525"
)

// configuration is that of a postrider with a spool and a directory of sockets of
// its name, and more keys.
func configuration(name, keys string) string {
	return `hostname = "` + hostname + `"
origin = "example.org"
local_domains = ["example.org", "localhost", "` + hostname + `"]
submission.max_message_size = "1MiB"
spool = "/var/spool/` + name + `"
run_dir = "/run/` + name + `"
` + keys + `
[[smarthost]]
address = "` + relay + `"
tls = "none"
`
}

// newMachine makes the machine and starts its daemon.
func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{users: map[string]account{"root": {home: "/root"}}, claimed: map[string]bool{}}
	if err := errors.Join(unix.Sethostname([]byte("testhost")), loopback(), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		t.Fatalf("leave the host alone: %v", err)
	}
	m.root = mountRoot(t, "callers")
	m.network(t)
	for name, gecos := range map[string]string{"alice": "Alice Liddell,,,", "bob": "Bob", "carol": "Carol", "erin": "Erin", "frank": "Frank"} {
		m.addUser(t, name, gecos)
	}
	m.install(t)
	m.sink = smtptest.NewSink(t, smtptest.Options{Addr: relay})
	m.start(t, "postrider", `submission.listen = ["127.0.0.1:25", "127.0.0.1:2500"]`)
	t.Cleanup(func() { m.unclaimed(t) })
	return m
}

// loopback sets the loopback device up.
func loopback() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	device, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	device.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, device)
}

// network says who the machine is and that there is nobody else.
func (m *machine) network(t *testing.T) {
	t.Helper()
	m.write(t, "/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 "+hostname+" testhost\n")
	m.write(t, "/etc/hostname", "testhost\n")
	m.write(t, "/etc/mailname", "example.org\n")
	m.remove(t, "/etc/resolv.conf")
	m.write(t, "/etc/resolv.conf", "nameserver 127.0.0.1\n")
}

// install installs postrider as an administrator does.
func (m *machine) install(t *testing.T) {
	t.Helper()
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(source, "bin/postrider")); err != nil {
		t.Fatalf("make build first: %v", err)
	}
	// The host below may have a postrider of its own.
	for _, dir := range []string{"/var/spool/postrider", "/etc/postrider", "/run/postrider", "/run/postrider-local"} {
		m.remove(t, dir)
	}
	m.mkdir(t, "/usr/src/postrider")
	mount(t, source, filepath.Join(m.root, "/usr/src/postrider"), "", unix.MS_BIND, "")
	m.must(t, "root", "make -C /usr/src/postrider -o build install install-sendmail PREFIX=/usr")
}

// start starts a postrider of a name, with more keys in its configuration. It ends
// with the test.
func (m *machine) start(t *testing.T, name, keys string) {
	t.Helper()
	file, log := "/etc/postrider/"+name+".toml", "/var/log/"+name+".log"
	m.write(t, file, configuration(name, keys))
	m.write(t, log, "")
	m.must(t, "root", "postrider config check -C "+file)
	m.daemon(t, "root", "exec postrider daemon -C "+file+" 2>>"+log)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the log of %s:\n%s", name, m.read(t, log))
		}
	})
	until(t, patience, "the daemon is ready", func() bool { return strings.Contains(m.read(t, log), "msg=ready") })
}

// daemon starts a program that runs until the test ends.
func (m *machine) daemon(t *testing.T, user, script string) {
	t.Helper()
	cmd := m.command(user, script)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		// How it ended, ProcessState tells.
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		select {
		case <-ended:
			t.Errorf("%s ended with %v: %s", script, cmd.ProcessState, said.String())
		default:
			// It may end by itself at this moment.
			_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
			<-ended
		}
	})
}

// account is a user of the machine.
type account struct {
	uid, gid uint32
	home     string
}

func (m *machine) addUser(t *testing.T, name, gecos string) {
	t.Helper()
	home := "/home/" + name
	m.must(t, "root", fmt.Sprintf("useradd -m -d %s -s /bin/sh -c '%s' %s", home, gecos, name))
	info, err := os.Stat(m.root + home)
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	m.users[name] = account{st.Uid, st.Gid, home}
}

// result is how a program ended.
type result struct {
	code           int
	stdout, stderr string
}

// lines gives the lines that begin with a word.
func lines(text, word string) string {
	return strings.Join(regexp.MustCompile(`(?m)^`+word+`\b.*\n`).FindAllString(text, -1), "")
}

// command prepares a script of the shell for a user.
func (m *machine) command(user, script string, variables ...string) *exec.Cmd {
	who := m.users[user]
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = who.home
	cmd.Env = append([]string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "SHELL=/bin/sh", "TERM=dumb",
		"HOME=" + who.home, "USER=" + user, "LOGNAME=" + user,
	}, variables...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     m.root,
		Setpgid:    true,
		Credential: &syscall.Credential{Uid: who.uid, Gid: who.gid},
	}
	return cmd
}

// run runs a script to its end.
func (m *machine) run(t *testing.T, user, stdin, script string, variables ...string) result {
	t.Helper()
	cmd := m.command(user, script, variables...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	// What a daemon that it leaves behind may keep open is not waited for.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	limit := time.AfterFunc(patience, func() {
		// It may end by itself at this moment.
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	})
	defer limit.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		t.Fatalf("%s: %v", script, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must runs a script that must succeed, and gives its output.
func (m *machine) must(t *testing.T, user, script string, variables ...string) string {
	t.Helper()
	r := m.run(t, user, "", script, variables...)
	if r.code != 0 {
		t.Fatalf("%s: exit %d: %s%s", script, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// patience is how long a test waits for what should happen at once: two processors
// have forty callers to run.
const patience = 2 * time.Minute

// until polls for a condition.
func until(t *testing.T, patience time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(patience); !done(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
