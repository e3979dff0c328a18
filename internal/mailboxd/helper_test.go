package mailboxd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
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

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/mailboxd"
	"postrider/queue"
)

// The test binary is also the process that becomes the recipient, as the program
// is, and whatever else takes another user to be.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		if job, ok := jobs[os.Args[1]]; ok {
			if err := job(os.Args[2:]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

var jobs = map[string]func(args []string) error{
	"local-helper": func([]string) error {
		return mailboxd.Deliver(context.Background(), os.Stdin, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	},
	"test-serve": func(args []string) error {
		l, _, err := mailboxd.Inherited(os.Stdin)
		if err != nil {
			return err
		}
		return newServer(args[0], os.Stderr).Serve(context.Background(), l)
	},
	"test-client": func(args []string) error {
		out := mailboxd.NewClient(args[0]).Deliver(context.Background(), envelope(args[1]), text(args[2]))
		return json.NewEncoder(os.Stdout).Encode(out)
	},
	"test-read": func(args []string) error {
		_, err := os.ReadFile(args[0])
		return err
	},
}

// as runs a job of the test binary as another user.
func as(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	uid, gid := ids(t, name)
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid}}
	return cmd.CombinedOutput()
}

func ids(t *testing.T, name string) (uid, gid uint32) {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Skip("needs the user ", name)
	}
	n, _ := strconv.ParseUint(u.Uid, 10, 32)
	g, _ := strconv.ParseUint(u.Gid, 10, 32)
	return uint32(n), uint32(g)
}

// host is a mail directory like Debian's, a spool that belongs to the user
// "daemon", and a helper on a socket that everybody can connect to.
type host struct {
	dir, mail, socket string
	log               *buffer
	client            *mailboxd.Client
}

func newHost(t *testing.T, change ...func(*mailboxd.Server)) *host {
	t.Helper()
	h := newDirectories(t)
	server := newServer(h.dir, h.log)
	for _, c := range change {
		c(server)
	}
	l, err := net.Listen("unix", h.socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(h.socket, 0o666); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return h
}

func newDirectories(t *testing.T) *host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	_, group := ids(t, "mail")
	owner, _ := ids(t, "daemon")
	dir, err := os.MkdirTemp("/tmp", "mailboxd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	h := &host{dir: dir, mail: dir + "/mail", socket: dir + "/helper.sock", log: new(buffer)}
	h.client = mailboxd.NewClient(h.socket)
	err = errors.Join(os.Chmod(dir, 0o755), os.Mkdir(h.mail, 0o755), os.Mkdir(dir+"/spool", 0o755),
		os.Chown(h.mail, 0, int(group)), os.Chmod(h.mail, 0o775|os.ModeSetgid), os.Chown(dir+"/spool", int(owner), -1))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func newServer(dir string, log io.Writer) *mailboxd.Server {
	return &mailboxd.Server{
		Load: func() (mailboxd.Settings, error) {
			return mailboxd.Settings{Template: "mbox:" + dir + "/mail/{user}", Delimiter: "+", Hostname: "host.example.com", Spool: dir + "/spool"}, nil
		},
		Stderr: log, Logger: slog.New(slog.NewTextHandler(log, nil)),
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

func envelope(to string) local.Envelope {
	return local.Envelope{
		From:     address.Address{Local: "bob", Domain: "example.net"},
		To:       address.Address{Local: to, Domain: "example.com"},
		Original: "rfc822;someone@example.com",
	}
}

func text(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

func want(t *testing.T, got local.Outcome, result queue.Result, status, words string) {
	t.Helper()
	if got.Result != result || got.Status != status || !strings.Contains(got.Text, words) || strings.Contains(got.Text, "\n") {
		t.Fatalf("got %v %s %q; want %v %s with %q", got.Result, got.Status, got.Text, result, status, words)
	}
}

func (h *host) read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.mail, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// wantFile checks who a mailbox belongs to.
func wantFile(t *testing.T, path string, uid, gid uint32, mode os.FileMode) {
	t.Helper()
	fi, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); st.Uid != uid || st.Gid != gid || fi.Mode() != mode {
		t.Errorf("%s: uid %d, gid %d, mode %v; want %d, %d, %v", path, st.Uid, st.Gid, fi.Mode(), uid, gid, mode)
	}
}

// until polls, since the processes that act are not ours to ask.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
