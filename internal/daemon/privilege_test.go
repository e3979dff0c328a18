package daemon_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The users of these tests are ones that every Debian has: whose the spool is, who
// gets mail, who sends it.
const owner, recipient, sender = "bin", "games", "nobody"

// host is an installation of the programs, as root makes it.
type host struct {
	dir, config string
	log         *buffer
	port        int
}

func newHost(t *testing.T) *host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir, err := os.MkdirTemp("/tmp", "postrider-daemon-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{dir: dir, config: dir + "/postrider.toml", log: new(buffer), port: privilegedPort(t)}
	h.must(t, exec.Command("go", "build", "-o", dir+"/bin/", "postrider/cmd/..."))
	h.must(t, exec.Command("sh", "../../contrib/make-directories", owner, dir+"/spool"))
	_, _, group := ids(t, "mail")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(dir+"/mail", 0o755), os.Chown(dir+"/mail", 0, group), os.Chmod(dir+"/mail", 0o775|fs.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	h.configure(t, "{user}")
	return h
}

func (h *host) configure(t *testing.T, mailbox string) {
	t.Helper()
	text := fmt.Sprintf("hostname = \"host.test\"\norigin = \"host.test\"\nspool = %q\nrun_dir = %q\nsubmission.listen = [\"127.0.0.1:%d\"]\nlocal.mailbox = \"mbox:%s/mail/%s\"\n",
		h.dir+"/spool", h.dir+"/run", h.port, h.dir, mailbox)
	if err := os.WriteFile(h.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// privilegedPort finds one that only root may listen on.
func privilegedPort(t *testing.T) int {
	t.Helper()
	for port := 1023; port > 600; port-- {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Skip("no port below 1024 is free")
	return 0
}

func ids(t *testing.T, name string) (u *user.User, uid, gid int) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skip("needs the user ", name)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return u, uid, gid
}

func (h *host) must(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s\n%s", cmd, err, out, h.log)
	}
	return string(out)
}

// as prepares a program to be run by a user.
func (h *host) as(t *testing.T, name, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(filepath.Join(h.dir, "bin", program), args...)
	cmd.Env = []string{"POSTRIDER_CONFIG=" + h.config, "PATH=" + os.Getenv("PATH")}
	cmd.Dir, cmd.Stderr = "/", h.log
	_, uid, gid := ids(t, name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return cmd
}

// start starts the daemon and waits until it takes mail.
func (h *host) start(t *testing.T, cmd *exec.Cmd) (stop func()) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := <-ended; err != nil {
			t.Errorf("daemon: %v\n%s", err, h.log)
		}
	})
	t.Cleanup(stop)
	until(t, h, "the daemon is ready", func() bool { return strings.Contains(h.log.String(), "msg=ready") })
	return stop
}

// send has the sender submit a message for the recipient.
func (h *host) send(t *testing.T, subject string) {
	t.Helper()
	cmd := h.as(t, sender, "sendmail", "-i", recipient)
	cmd.Stdin, cmd.Stderr = strings.NewReader("Subject: "+subject+"\n\nhello\n"), nil
	h.must(t, cmd)
}

func (h *host) mailbox(name string) string {
	b, _ := os.ReadFile(filepath.Join(h.dir, "mail", name))
	return string(b)
}

// wantDelivered waits for the message and looks at the mailbox it came into.
func (h *host) wantDelivered(t *testing.T, name, subject string) {
	t.Helper()
	until(t, h, subject+" is delivered", func() bool { return strings.Contains(h.mailbox(name), "Subject: "+subject+"\n") })
	fi, err := os.Stat(filepath.Join(h.dir, "mail", name))
	if err != nil {
		t.Fatal(err)
	}
	_, uid, _ := ids(t, recipient)
	_, _, group := ids(t, "mail")
	if st := fi.Sys().(*syscall.Stat_t); int(st.Uid) != uid || int(st.Gid) != group || fi.Mode() != 0o600 {
		t.Errorf("mailbox has uid %d, gid %d, mode %v", st.Uid, st.Gid, fi.Mode())
	}
	if got := h.mailbox(name); !strings.Contains(got, "Return-Path: <"+sender+"@host.test>\nX-Original-To: "+recipient+"@host.test\nDelivered-To: "+recipient+"@host.test\n") {
		t.Errorf("mailbox: %s", got)
	}
}

func until(t *testing.T, h *host, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s:\n%s", what, h.log)
		}
	}
}

// buffer collects a log.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// status gives the ids line of a process, "" if there is none.
func status(pid int, field string) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

func children(parent int) []int {
	names, _ := filepath.Glob("/proc/[0-9]*")
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(filepath.Base(name)); err == nil && status(pid, "PPid") == strconv.Itoa(parent) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func TestStartedAsRoot(t *testing.T) {
	h := newHost(t)
	_, uid, gid := ids(t, owner)
	daemon := exec.Command(h.dir+"/bin/postrider", "-C", h.config, "daemon")
	daemon.Stderr = h.log
	stop := h.start(t, daemon)

	four := func(id int) string { return strings.TrimSpace(strings.Repeat(strconv.Itoa(id)+" ", 4)) }
	pid := daemon.Process.Pid
	for field, want := range map[string]string{"Uid": four(uid), "Gid": four(gid), "Groups": strconv.Itoa(gid), "CapPrm": "0000000000000000", "CapEff": "0000000000000000"} {
		if got := status(pid, field); got != want {
			t.Errorf("daemon has %s %q, want %q", field, got, want)
		}
	}
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, thread := range threads {
		if tid, _ := strconv.Atoi(filepath.Base(thread)); status(tid, "Uid") != four(uid) {
			t.Errorf("thread %d has uid %q", tid, status(tid, "Uid"))
		}
	}
	helpers := children(pid)
	if len(helpers) != 1 || status(helpers[0], "Uid") != four(0) {
		t.Fatalf("children: %v", helpers)
	}

	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if line, err := bufio.NewReader(conn).ReadString('\n'); !strings.HasPrefix(line, "220 ") {
		t.Errorf("port %d says %q, %v", h.port, line, err)
	}
	conn.Close()

	h.send(t, "first")
	h.wantDelivered(t, recipient, "first")
	// The helper follows the configuration.
	h.configure(t, "{user}.new")
	if err := daemon.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, h, "the configuration is reloaded", func() bool { return strings.Contains(h.log.String(), "configuration reloaded") })
	h.send(t, "second")
	h.wantDelivered(t, recipient+".new", "second")

	stop()
	if got := status(helpers[0], "Name"); got != "" {
		t.Errorf("the helper is still there: %s", got)
	}
	files, _ := filepath.Glob(h.dir + "/spool/*")
	for _, name := range files {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if st := fi.Sys().(*syscall.Stat_t); int(st.Uid) != uid {
			t.Errorf("%s belongs to uid %d", name, st.Uid)
		}
	}
	// Nothing that was left keeps it from starting again.
	again := exec.Command(h.dir+"/bin/postrider", "-C", h.config, "daemon")
	h.log = new(buffer)
	again.Stderr = h.log
	h.start(t, again)
	h.send(t, "third")
	h.wantDelivered(t, recipient+".new", "third")
}

// TestStartedByServiceManager: the daemon never was root, and the helper comes
// with a socket that another made.
func TestStartedByServiceManager(t *testing.T) {
	h := newHost(t)
	h.port = 0
	h.configure(t, "{user}")
	_, uid, gid := ids(t, owner)
	if err := errors.Join(os.Mkdir(h.dir+"/run", 0o755), os.Chown(h.dir+"/run", uid, gid)); err != nil {
		t.Fatal(err)
	}
	h.start(t, h.as(t, owner, "postrider", "daemon"))
	h.send(t, "first")
	until(t, h, "the message waits for the helper", func() bool {
		out, _ := h.as(t, "root", "postrider", "queue", "list", "--json").Output()
		return strings.Contains(string(out), "systemctl enable --now postrider-local.socket")
	})

	if err := os.Mkdir(h.dir+"/run-local", 0o755); err != nil {
		t.Fatal(err)
	}
	socket := h.dir + "/run-local/helper.sock"
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(os.Chmod(socket, 0o600), os.Chown(socket, uid, -1)); err != nil {
		t.Fatal(err)
	}
	helper := h.as(t, "root", "postrider", "local-helper")
	helper.Stdin = f
	if err := helper.Start(); err != nil {
		t.Fatal(err)
	}
	defer helper.Wait()
	defer helper.Process.Signal(syscall.SIGTERM)
	h.must(t, flush(h, t))
	h.wantDelivered(t, recipient, "first")
}

func flush(h *host, t *testing.T) *exec.Cmd {
	cmd := h.as(t, "root", "postrider", "queue", "flush")
	cmd.Stderr = nil
	return cmd
}
