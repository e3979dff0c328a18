package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/control"
	"postrider/internal/smtptest"
)

// TestStartedBySendmail: sendmail -bd comes back when the daemon takes mail, -bD is
// the daemon, and nobody but root starts it.
func TestStartedBySendmail(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	for _, mode := range []string{"-bd", "-bD"} {
		if r := run(t, h.command(alice, "sendmail", mode)); r.code != 77 {
			t.Errorf("%s by a user: exit %d, %q", mode, r.code, r.stderr)
		}
	}
	for range 2 { // the second finds it running
		if r := run(t, h.command(0, "sendmail", "-bd", "-q30m")); r.code != 0 || r.stdout+r.stderr != "" {
			t.Fatalf("-bd: exit %d, %q, %q", r.code, r.stdout, r.stderr)
		}
	}
	pid := h.listener()
	t.Cleanup(func() { unix.Kill(pid, unix.SIGKILL) })
	if r := h.sendmail(alice, mail("taken"), "-v", "to@good.test"); !strings.Contains(r.stdout, "socket ") || !strings.Contains(r.stdout, "queued as ") {
		t.Errorf("said %q, want it to go to the daemon", r.stdout)
	}
	h.emptied()
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	until(t, "the daemon has ended", func() bool { return run(t, h.command(me, "sendmail", "-q")).code == 69 })

	h.launch(h.command(0, "sendmail", "-bD")).ready()
	h.send(mail("taken too"), "to@good.test")
	h.emptied()
	h.proc.stop()
	if n := copies(sink, "taken"); n != 2 {
		t.Errorf("%d messages arrived, want 2", n)
	}
}

// listener is the process behind the submission socket.
func (h *host) listener() int {
	h.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: h.path("run/submit.sock")}); err != nil {
		h.t.Fatal(err)
	}
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		h.t.Fatal(err)
	}
	return int(peer.Pid)
}

// TestDaemonThatCannotStart: sendmail -bd says so, with the daemon's exit status.
func TestDaemonThatCannotStart(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, settings{"submission.listen": `["192.0.2.1:25"]`})
	r := run(t, h.command(0, "sendmail", "-bd"))
	if r.code != 71 {
		t.Errorf("exit %d, want 71", r.code)
	}
	oneLine(t, "sendmail", r.stderr, "postrider daemon")
}

// TestDenied: a user who may not send is told so whichever way mail would go in.
func TestDenied(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, settings{"submission.deny_users": fmt.Sprintf("[%q]", fmt.Sprint(alice))})
	h.start()
	for _, running := range []bool{true, false} {
		r := h.sendmail(alice, mail("denied"), "to@good.test")
		if r.code != 77 || r.stdout != "" {
			t.Errorf("daemon runs %v: exit %d, want 77", running, r.code)
		}
		oneLine(t, "sendmail", r.stderr, "deny_users")
		cmd := h.command(alice, "sendmail", "-bs")
		cmd.Stdin = strings.NewReader("MAIL FROM:<a@x.test>\r\nRCPT TO:<to@good.test>\r\nDATA\r\n.\r\nQUIT\r\n")
		if r := run(t, cmd); r.code != 0 || !strings.Contains(r.stdout, "\r\n550 5.7.1 ") || !strings.HasSuffix(r.stdout, "221 2.0.0 Bye\r\n") {
			t.Errorf("daemon runs %v: -bs: exit %d, %q", running, r.code, r.stdout)
		}
		if running {
			h.proc.stop()
		}
	}
	if left := h.maildrop(); len(left) > 0 {
		t.Errorf("in the maildrop: %v", left)
	}
}

// TestQueueRunWaits: sendmail -qf comes back when what was in the queue has been
// tried, whatever came of it.
func TestQueueRunWaits(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"retry.first": quoted("1h"), "retry.max": quoted("1h")})
	open := make(chan struct{})
	sink := h.net.busy("busy.test", func() bool {
		select {
		case <-open:
			return false
		default:
			return true
		}
	})
	h.send(mail("waits"), "to@busy.test")
	h.send(mail("fails"), "to@nowhere.test")
	h.deferredAll()
	close(open)
	if r := run(t, h.command(me, "sendmail", "-qf")); r.code != 0 || r.stdout+r.stderr != "" {
		t.Fatalf("-qf: exit %d, %q", r.code, r.stderr)
	}
	if sink.Count() != 1 {
		t.Error("-qf came back before the message was delivered")
	}
	h.proc.stop()
	if r := run(t, h.command(me, "sendmail", "-qf")); r.code != 69 || r.stdout != "" {
		t.Errorf("-qf without a daemon: exit %d, want 69", r.code)
	}
}

// deferredAll waits until all in the queue was tried.
func (h *host) deferredAll() {
	h.t.Helper()
	until(h.t, "all is deferred", func() bool {
		for _, i := range h.queue() {
			if i.State != "deferred" {
				return false
			}
		}
		return true
	})
}

// TestTag: what -L says is the command that is shown with the message.
func TestTag(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	h.net.busy("busy.test", always)
	h.sendmail(me, mail("tagged"), "-L", "back up", "-f", "a@sender.test", "to@busy.test")
	h.proc.stop()
	h.sendmail(me, mail("tagged"), "-L", "back up", "-f", "a@sender.test", "to@busy.test")
	for _, i := range h.queue() {
		var d control.Details
		if err := json.Unmarshal([]byte(h.postrider("queue", "show", "--json", i.ID.String()).stdout), &d); err != nil {
			t.Fatal(err)
		}
		if d.Command != "back_up" {
			t.Errorf("the command is %q", d.Command)
		}
	}
}
