package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/control"
)

// Users of the tests when they run as root. They need no account.
const (
	alice  = 4242
	daemon = 4243
	bob    = 4244
)

// me is who runs the tests.
var me = os.Getuid()

// settings are keys of the configuration with their values as in the file.
type settings map[string]string

// host is a machine with postrider.
type host struct {
	t        *testing.T
	net      *network
	dir      string
	user     int // the daemon's, and the spool's owner
	settings settings
	tables   string // of the configuration that may occur several times
	proc     *process
	tail     int // how much of a daemon's log is shown if the test fails
}

// newHost makes a host with a network; its daemon is not started yet.
func newHost(t *testing.T, s settings) *host {
	t.Helper()
	h := &host{t: t, net: newNetwork(t), dir: tempDir(t), user: me, tail: tailSize}
	if me == 0 {
		h.user = daemon
	}
	h.settings = settings{
		"hostname":          quoted("host.e2e.test"),
		"origin":            quoted("host.e2e.test"),
		"spool":             quoted(h.path("spool")),
		"run_dir":           quoted(h.path("run")),
		"submission.listen": `["127.0.0.1:0"]`,
		"dns.servers":       "[" + quoted(h.net.dns.Addr) + "]",
		"delivery.port":     fmt.Sprint(h.net.port),
		"retry.first":       quoted("200ms"),
		"retry.max":         quoted("1s"),
		"local.postmaster":  quoted("postmaster@postmaster.test"),
	}
	maps.Copy(h.settings, s)
	for _, dir := range []string{"spool", "run"} {
		h.mkdir(dir)
	}
	h.configure()
	return h
}

// startHost makes a host with a network and a running daemon.
func startHost(t *testing.T, s settings) *host {
	t.Helper()
	h := newHost(t, s)
	h.start()
	return h
}

func quoted(s string) string { return fmt.Sprintf("%q", s) }

// tempDir is short, for the sake of the sockets' paths, and open to all users.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pr")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

// mkdir makes a directory that belongs to the daemon's user.
func (h *host) mkdir(name string) {
	h.t.Helper()
	if err := os.Mkdir(h.path(name), 0o755); err != nil {
		h.t.Fatal(err)
	}
	h.give(name)
}

// write makes a file that belongs to the daemon's user.
func (h *host) write(name, text string, mode os.FileMode) string {
	h.t.Helper()
	path := h.path(name)
	if err := errors.Join(os.WriteFile(path, []byte(text), mode), os.Chmod(path, mode)); err != nil {
		h.t.Fatal(err)
	}
	h.give(name)
	return path
}

// give makes a file the daemon's user's own.
func (h *host) give(name string) {
	h.t.Helper()
	if me != 0 {
		return
	}
	if err := os.Chown(h.path(name), h.user, h.user); err != nil {
		h.t.Fatal(err)
	}
}

// configure writes the configuration. A running daemon does not look at it.
func (h *host) configure() {
	h.t.Helper()
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(h.settings)) {
		fmt.Fprintf(&b, "%s = %s\n", key, h.settings[key])
	}
	b.WriteString(h.tables)
	h.write("postrider.toml", b.String(), 0o644)
}

// environ is what programs find: nothing of the tests' own.
func (h *host) environ() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "POSTRIDER_CONFIG=" + h.path("postrider.toml")}
}

// command prepares a program for a user.
func (h *host) command(uid int, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(h.t.Context(), filepath.Join(programs(), program), args...)
	cmd.Env, cmd.Dir = h.environ(), "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if uid != me {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	return cmd
}

// result is what a program said.
type result struct {
	code           int
	stdout, stderr string
	state          *os.ProcessState
}

// run runs a command to its end.
func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", cmd.Args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), cmd.ProcessState}
}

// postrider runs the administrator's program as whoever runs the tests.
func (h *host) postrider(args ...string) result {
	h.t.Helper()
	return run(h.t, h.command(me, "postrider", args...))
}

// sendmail hands a message in as a user.
func (h *host) sendmail(uid int, text string, args ...string) result {
	h.t.Helper()
	return h.sendmailFrom(uid, strings.NewReader(text), args...)
}

func (h *host) sendmailFrom(uid int, text io.Reader, args ...string) result {
	h.t.Helper()
	cmd := h.command(uid, "sendmail", append([]string{"-i"}, args...)...)
	cmd.Stdin = text
	return run(h.t, cmd)
}

// send hands in a message that must be taken, from sender@sender.test.
func (h *host) send(text string, recipients ...string) {
	h.t.Helper()
	r := h.sendmail(me, text, append([]string{"-f", "sender@sender.test"}, recipients...)...)
	if r.code != 0 || r.stderr != "" {
		h.t.Fatalf("sendmail to %v: exit %d, %q", recipients, r.code, r.stderr)
	}
}

// mail is a message that can be told from all others.
func mail(token string) string { return "Subject: " + token + "\n\nThe text of " + token + ".\n" }

// queue lists what the queue holds.
func (h *host) queue() []control.Item {
	h.t.Helper()
	r := h.postrider("queue", "list", "--json")
	if r.code != 0 {
		h.t.Fatalf("queue list: exit %d: %s", r.code, r.stderr)
	}
	var items []control.Item
	for dec := json.NewDecoder(strings.NewReader(r.stdout)); ; {
		var item control.Item
		err := dec.Decode(&item)
		if errors.Is(err, io.EOF) {
			return items
		}
		if err != nil {
			h.t.Fatalf("queue list: %v in %s", err, r.stdout)
		}
		items = append(items, item)
	}
}

// one gives the only message in the queue.
func (h *host) one() control.Item {
	h.t.Helper()
	items := h.queue()
	if len(items) != 1 {
		h.t.Fatalf("%d messages in the queue, want one: %+v", len(items), items)
	}
	return items[0]
}

// emptied waits until the queue is empty.
func (h *host) emptied() {
	h.t.Helper()
	until(h.t, "the queue is empty", func() bool { return len(h.queue()) == 0 })
}

// deferred waits until the only message was tried in vain, for a reason with the
// text, and gives that reason.
func (h *host) deferred(text string) string {
	h.t.Helper()
	var reply string
	until(h.t, "the message is deferred with "+text, func() bool {
		item := h.one()
		if len(item.Recipients) == 0 {
			return false
		}
		reply = item.Recipients[0].LastReply
		return item.Recipients[0].Attempts > 0 && strings.Contains(reply, text)
	})
	return reply
}

// patience is how long a test waits for what should happen at once: much, since under
// the race detector on a busy machine our own servers take minutes for 30 MiB.
const patience = 3 * time.Minute

// until polls for a condition.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(patience)
	for !done() {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
		<-tick.C
	}
}

// needRoot skips what only root can set up.
func needRoot(t *testing.T) {
	t.Helper()
	if me != 0 {
		t.Skip("needs root")
	}
}

// oneLine checks an error message: one line that begins with the program's name
// and contains the words.
func oneLine(t *testing.T, program, text string, words ...string) {
	t.Helper()
	line, rest, whole := strings.Cut(text, "\n")
	if !whole || rest != "" || !strings.HasPrefix(line, program+": ") {
		t.Errorf("said %q, want one line from %s", text, program)
	}
	for _, w := range words {
		if !strings.Contains(line, w) {
			t.Errorf("said %q, which lacks %q", line, w)
		}
	}
}

// loginName is that of whoever runs the tests.
func loginName(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Skipf("the tests' user has no account: %v", err)
	}
	return u.Username
}
