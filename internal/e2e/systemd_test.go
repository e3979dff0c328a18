package e2e

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/smtptest"
)

// TestSocketActivation: the service manager holds the submission socket. A program
// that submits before the daemon is up waits for it and is served; when the daemon
// stops the socket is still there.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	path := h.path("run/submit.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	file, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	user := me
	if me == 0 {
		user = alice
	}
	for i := range 2 {
		early := h.command(user, "sendmail", "-i", "to@good.test")
		early.Stdin = strings.NewReader(mail("early"))
		early.Stderr = os.Stderr
		if err := early.Start(); err != nil {
			t.Fatal(err)
		}
		h.launch(h.activated(file)).ready()
		if err := early.Wait(); err != nil {
			t.Errorf("run %d: sendmail before the daemon: %v", i, err)
		}
		h.emptied()
		if n := copies(sink, "early"); n != i+1 {
			t.Errorf("run %d: %d messages arrived", i, n)
		}
		h.proc.logged("via=socket")
		h.proc.stop()
		if _, err := os.Stat(path); err != nil {
			t.Errorf("run %d: the socket is gone: %v", i, err)
		}
	}
}

// activated is a daemon that gets the submission socket as systemd hands it over.
func (h *host) activated(socket *os.File) *exec.Cmd {
	cmd := h.command(h.user, "postrider")
	cmd.Args = []string{"sh", "-c", `LISTEN_PID=$$ exec "$0" daemon`, cmd.Path}
	cmd.Path = "/bin/sh"
	cmd.Env = append(cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=submit")
	cmd.ExtraFiles = []*os.File{socket}
	return cmd
}

// TestNotifySocket: the service manager is told when mail is taken, when the
// configuration is read again and when the end begins.
func TestNotifySocket(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	path := h.path("notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	cmd := h.command(h.user, "postrider", "daemon")
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+path)
	p := h.launch(cmd)
	expect(t, l, "READY=1")
	if r := h.sendmail(me, mail("at once"), "to@nowhere.test"); r.code != 0 || strings.Contains(p.log.String(), "via=spool") {
		t.Errorf("mail is not taken although the daemon is ready: exit %d: %s", r.code, r.stderr)
	}
	p.signal(syscall.SIGHUP)
	if lines := expect(t, l, "RELOADING=1"); !slices.ContainsFunc(lines, func(s string) bool { return strings.HasPrefix(s, "MONOTONIC_USEC=") }) {
		t.Errorf("reload is announced by %q, without the time", lines)
	}
	expect(t, l, "READY=1")
	p.signal(syscall.SIGTERM)
	expect(t, l, "STOPPING=1")
	if code := p.exit(patience); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	if err := l.SetReadDeadline(time.Now()); err != nil {
		t.Fatal(err)
	}
	if n, err := l.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d bytes more were said (%v)", n, err)
	}
}

// expect reads the next notification, which must contain a line.
func expect(t *testing.T, l *net.UnixConn, want string) []string {
	t.Helper()
	if err := l.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := l.Read(buf)
	if err != nil {
		t.Fatalf("wait for %s: %v", want, err)
	}
	lines := strings.Split(strings.TrimSpace(string(buf[:n])), "\n")
	if !slices.Contains(lines, want) {
		t.Fatalf("notified of %q, want %s", lines, want)
	}
	return lines
}
