package sendmail_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	ossignal "os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// build makes the program once for a test.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sendmail")
	cmd := exec.Command("go", "build", "-o", path, "postrider/cmd/sendmail")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// forbidden would cost the command its start-up time or belong to others.
var forbidden = []string{"net", "crypto/tls", "crypto/x509", "net/http", "regexp", "os/user", "os/exec",
	"github.com/emersion/go-smtp", "github.com/miekg/dns", "github.com/spf13/cobra"}

func TestLinksNoTLS(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "postrider/cmd/sendmail").Output()
	must(t, err)
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "postrider/internal/sendmail") {
		t.Fatalf("list of dependencies is not one: %.200s", out)
	}
	for _, f := range forbidden {
		if slices.Contains(deps, f) {
			t.Errorf("the sendmail command links %s", f)
		}
	}
}

// process prepares the built program with the host's configuration.
func (h *host) process(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "POSTRIDER_CONFIG=" + h.config}
	return cmd
}

func TestProcess(t *testing.T) {
	program := build(t)
	t.Run("closed files", func(t *testing.T) {
		h := newHost(t, "")
		s := h.serve(&server{})
		for _, redirect := range []string{">&- 2>&-", "<&-", "<&- >&- 2>&-"} {
			cmd := h.process("/bin/sh", "-c", `exec "$0" -oi bob@example.net `+redirect, program)
			cmd.Stdin = strings.NewReader(letter)
			if err := cmd.Run(); err != nil {
				t.Errorf("%s: %v", redirect, err)
			}
		}
		got := s.mails()
		if len(got) != 3 || got[0].data != letter || !strings.HasSuffix(got[1].data, "\n\n") || strings.Contains(got[1].data, "Subject") {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("inherited files are closed", func(t *testing.T) {
		h := newHost(t, "").withMaildrop()
		r, w, err := os.Pipe()
		must(t, err)
		defer r.Close()
		cmd := h.process(program, "-t")
		stdin, err := cmd.StdinPipe()
		must(t, err)
		cmd.ExtraFiles = []*os.File{w, w}
		must(t, cmd.Start())
		w.Close()
		must(t, r.SetReadDeadline(time.Now().Add(20*time.Second)))
		if _, err := io.ReadAll(r); err != nil {
			t.Errorf("the pipe is still open: %v", err)
		}
		io.WriteString(stdin, "To: bob@example.net\n\nx\n")
		stdin.Close()
		must(t, cmd.Wait())
	})
	t.Run("umask", func(t *testing.T) {
		h := newHost(t, "")
		cmd := h.process("/bin/sh", "-c", `umask 777; exec "$0" bob@example.net`, program)
		cmd.Stdin = strings.NewReader(letter)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("%v %s", err, out)
		}
		if st, err := os.Stat(filepath.Join(h.spool, "queue.db")); err != nil || st.Mode()&0o600 != 0o600 {
			t.Errorf("%v %v", st, err)
		}
	})
	t.Run("rest after the dot is read", func(t *testing.T) {
		h := newHost(t, "")
		s := h.serve(&server{})
		cmd := h.process(program, "bob@example.net")
		cmd.Stdin = io.MultiReader(strings.NewReader(letter+".\n"), bytes.NewReader(make([]byte, 4<<20)))
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v %s", err, out)
		}
		if got := s.mails(); len(got) != 1 || got[0].data != letter {
			t.Errorf("got %d messages", len(got))
		}
	})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if ossignal.Ignored(signal) {
			continue // under nohup: the program inherits it
		}
		t.Run(signal.String(), func(t *testing.T) { interrupted(t, program, signal) })
	}
	t.Run("interrupted while the daemon hangs", func(t *testing.T) { interruptedLate(t, program) })
	t.Run("interrupted too late", func(t *testing.T) { interruptedTooLate(t, program) })
	t.Run("nobody reads the report", func(t *testing.T) { unread(t, program) })
	t.Run("no permission anywhere", func(t *testing.T) { notPermitted(t, program) })
}

// interrupted stops the program in the middle of its input.
func interrupted(t *testing.T, program string, signal syscall.Signal) {
	h := newHost(t, "").withMaildrop()
	cmd := h.process(program, "bob@example.net")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	must(t, cmd.Start())
	// More than a pipe holds: once it is written the program reads, and so has
	// begun to watch for signals.
	_, err = stdin.Write(bytes.Repeat([]byte("half a message\n"), 100_000))
	must(t, err)
	must(t, cmd.Process.Signal(signal))
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || (!exit.Sys().(syscall.WaitStatus).Signaled() && exit.ExitCode() != 75) {
		t.Errorf("ended with %v", err)
	}
	stdin.Close()
	if left := h.dropped(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// interruptedLate stops the program while it waits for the daemon: it must not go
// on to the maildrop.
func interruptedLate(t *testing.T, program string) {
	h := newHost(t, "").withMaildrop()
	l, err := net.Listen("unix", h.socket())
	must(t, err)
	defer l.Close()
	cmd := h.process(program, "bob@example.net")
	cmd.Stdin = strings.NewReader(letter)
	must(t, cmd.Start())
	c, err := l.Accept()
	must(t, err)
	defer c.Close()
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	err = cmd.Wait()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Sys().(syscall.WaitStatus).Signaled() {
		t.Errorf("ended with %v", err)
	}
	if left := h.dropped(t); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// interruptedTooLate stops the program when the message is durable already and it
// reads on for the caller's sake.
func interruptedTooLate(t *testing.T, program string) {
	h := newHost(t, "")
	s := h.serve(&server{})
	cmd := h.process(program, "bob@example.net")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	defer stdin.Close()
	must(t, cmd.Start())
	// More than a pipe and a buffer hold behind the end of the message: once it is
	// written the program is past handing in.
	_, err = io.WriteString(stdin, letter+".\n"+strings.Repeat("more\n", 100_000))
	must(t, err)
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := len(s.mails()); n != 1 {
		t.Errorf("%d messages queued", n)
	}
}

// unread closes the pipe that the program reports to: the message is queued, so
// it must not end by SIGPIPE.
func unread(t *testing.T, program string) {
	h := newHost(t, "")
	s := h.serve(&server{})
	r, w, err := os.Pipe()
	must(t, err)
	r.Close()
	cmd := h.process(program, "-v", "bob@example.net")
	cmd.Stdin, cmd.Stdout = strings.NewReader(letter), w
	err = cmd.Run()
	w.Close()
	if err != nil || len(s.mails()) != 1 {
		t.Errorf("ended with %v, %d messages queued", err, len(s.mails()))
	}
}

// notPermitted tells the caller that trying again is of no use.
func notPermitted(t *testing.T, program string) {
	if os.Getuid() != 0 {
		t.Skip("needs root to be somebody else")
	}
	h := newHost(t, "").withMaildrop()
	h.serve(&server{})
	must(t, os.Chmod(h.socket(), 0o600))
	must(t, os.Chmod(h.maildir, 0o700))
	public := filepath.Join(h.dir, "sendmail")
	text, err := os.ReadFile(program)
	must(t, err)
	must(t, os.WriteFile(public, text, 0o755))
	cmd := h.process(public, "bob@example.net")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1001, Gid: 1001}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 77 || !strings.Contains(string(out), "permission denied") {
		t.Errorf("ended with %v: %s", err, out)
	}
}
