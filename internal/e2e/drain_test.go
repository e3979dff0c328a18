package e2e

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/smtptest"
)

// TestDrainDeliveries: told to stop, the daemon lets a delivery past the final dot
// finish and gives the others back: they are made by the next one, at once, and
// nothing is delivered twice.
func TestDrainDeliveries(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"retry.first": quoted("1h"), "retry.max": quoted("1h")})
	dotted, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	past := h.net.sink("past.test", smtptest.Options{OnData: func(*smtptest.Message) error {
		once.Do(func() { close(dotted) })
		<-release
		return nil
	}})
	before := h.net.script("before.test", smtptest.Script{"RCPT": {smtptest.Hang, "250 ok"}})
	h.send(mail("past the dot"), "to@past.test")
	h.send(mail("before the dot"), "to@before.test")
	<-dotted
	until(t, "the other server hangs", func() bool { return len(before.Lines()) > 2 })
	h.proc.signal(syscall.SIGTERM)
	until(t, "the other delivery is given back", func() bool {
		for _, item := range h.queue() {
			if item.Recipients[0].Destination == "before.test" && item.State != "active" {
				return true
			}
		}
		return false
	})
	if !h.proc.running() {
		t.Error("the daemon has not waited for the delivery past the dot")
	}
	close(release)
	if code := h.proc.exit(patience); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	h.start()
	h.emptied()
	if n := copies(past, mailBody("past the dot")); n != 1 {
		t.Errorf("the message past the dot arrived %d times", n)
	}
	if n := bodiesWith(before, mailBody("before the dot")); n != 1 {
		t.Errorf("the message given back arrived %d times", n)
	}
}

// TestDrainSessions: told to stop, the daemon ends sessions, but one past the final
// dot is not told so: it gets the reply that its message is durable. The disk
// stands still meanwhile, so that the reply cannot come before.
func TestDrainSessions(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, settings{"submission.max_message_size": quoted("1MiB")})
	sink := h.net.sink("good.test", smtptest.Options{})
	disk := h.loopDisk()
	h.start()

	idle, half, whole := h.client(), h.client(), h.client()
	half.say("MAIL FROM:<sender@sender.test>", "RCPT TO:<to@good.test>", "DATA")
	half.write("Subject: half\r\n\r\n" + mailBody("half") + "\r\n")
	whole.say("MAIL FROM:<sender@sender.test>", "RCPT TO:<to@good.test>", "DATA")
	thaw := disk.freeze()
	defer thaw()
	whole.write("Subject: whole\r\n\r\n" + mailBody("whole") + "\r\n.\r\n")
	until(t, "the daemon waits for the disk", h.proc.waitsForDisk)
	h.proc.signal(syscall.SIGTERM)
	h.proc.logged("msg=stopping")
	idle.expect("421 ")
	half.expect("421 ")
	if late, err := net.Dial("tcp", h.proc.address()); err == nil {
		late.Close()
		t.Error("the daemon still listens")
	}
	thaw()
	whole.expect("250 ")
	if code := h.proc.exit(patience); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	h.start()
	h.emptied()
	if copies(sink, mailBody("whole")) != 1 || sink.Count() != 1 {
		t.Errorf("%d messages arrived, want the one that was taken", sink.Count())
	}
	h.proc.stop()
}

// client is an SMTP session, made by hand.
type client struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// client connects and says hello.
func (h *host) client() *client {
	h.t.Helper()
	conn, err := net.Dial("tcp", h.proc.address())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { conn.Close() })
	c := &client{h.t, conn, bufio.NewReader(conn)}
	c.expect("220 ")
	c.say("HELO client.test")
	return c
}

// say says commands and expects that each is granted.
func (c *client) say(commands ...string) {
	c.t.Helper()
	for _, line := range commands {
		c.write(line + "\r\n")
		want := "250 "
		if line == "DATA" {
			want = "354 "
		}
		c.expect(want)
	}
}

func (c *client) write(text string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.t.Fatal(err)
	}
}

// expect reads one line, which must begin so.
func (c *client) expect(begin string) string {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	line, err := c.r.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, begin) {
		c.t.Fatalf("the daemon said %q (%v), want %q", line, err, begin)
	}
	return line
}

// waitsForDisk reports whether a thread of the daemon sleeps until its disk answers.
func (p *process) waitsForDisk() bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, f := range files {
		stat, err := os.ReadFile(f)
		if err != nil {
			continue // the thread has ended
		}
		if _, state, ok := strings.Cut(string(stat), ") "); ok && state[0] == 'D' {
			return true
		}
	}
	return false
}

// disk is a small file system that holds the spool.
type disk struct {
	t    *testing.T
	path string
}

// loopDisk puts the spool on a file system of its own in a file.
func (h *host) loopDisk() *disk {
	h.t.Helper()
	image := h.path("image")
	const size = 160 << 20
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Truncate(image, size); err != nil {
		h.t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mkfs.ext4", "-q", "-F", "-E", "root_owner=" + fmt.Sprintf("%d:%d", h.user, h.user), image},
		{"mount", "-o", "loop", image, h.path("spool")},
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			h.t.Skipf("cannot make a file system here: %v: %v: %s", args, err, out)
		}
	}
	h.unmountLater("spool")
	return &disk{h.t, h.path("spool")}
}

// unmountLater unmounts at the end of the test.
func (h *host) unmountLater(name string) {
	h.t.Cleanup(func() {
		if h.proc != nil {
			h.proc.kill()
		}
		if err := unix.Unmount(h.path(name), unix.MNT_DETACH); err != nil {
			h.t.Error(err)
		}
	})
}

// The ioctls of fsfreeze(8).
const (
	fiFreeze = 0xC0045877
	fiThaw   = 0xC0045878
)

// freeze has all writes to the file system wait until thaw is called, at the test's
// end at the latest.
func (d *disk) freeze() (thaw func()) {
	d.t.Helper()
	dir, err := os.Open(d.path)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := unix.IoctlSetInt(int(dir.Fd()), fiFreeze, 0); err != nil {
		d.t.Skipf("cannot freeze a file system here: %v", err)
	}
	thaw = sync.OnceFunc(func() {
		defer dir.Close()
		if err := unix.IoctlSetInt(int(dir.Fd()), fiThaw, 0); err != nil {
			d.t.Errorf("thaw: %v", err)
		}
	})
	d.t.Cleanup(thaw)
	return thaw
}
