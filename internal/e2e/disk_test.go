package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/smtptest"
)

// smallDisk mounts a file system in memory on a directory of the host, for a user.
func (h *host) smallDisk(name, size string, uid int) {
	h.t.Helper()
	owner := strings.ReplaceAll(",uid=U,gid=U,mode=755", "U", strconv.Itoa(uid))
	if err := unix.Mount("tmpfs", h.path(name), "tmpfs", 0, "size="+size+owner); err != nil {
		h.t.Skipf("cannot mount here: %v", err)
	}
	h.unmountLater(name)
}

// fill writes a file of that size, or until nothing more goes in.
func (h *host) fill(name string, size int) {
	h.t.Helper()
	f, err := os.OpenFile(h.path(name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); size > 0; size -= len(block) {
		n, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) && len(block) > 1 {
			block = block[:max(1, len(block)/16)]
			size += len(block) - n
			continue
		}
		if errors.Is(err, syscall.ENOSPC) {
			return
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
}

const everything = 1 << 40

// TestDiskFull: below the floor of free space nothing new is taken, and whoever
// submits is told so; what is queued goes on being delivered, and its end recorded,
// even when not a byte is left.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, settings{
		"submission.max_message_size": quoted("1MiB"), "retry.first": quoted("1h"), "retry.max": quoted("1h"),
	})
	var open atomic.Bool
	sink := h.net.busy("busy.test", func() bool { return !open.Load() })
	h.smallDisk("spool", "96m", h.user)
	h.start()
	const queued = 20
	for range queued {
		h.send(mail("queued before"), "to@busy.test")
	}
	until(t, "all were tried", func() bool { return tried(h) == queued })

	h.fill("spool/filler", 40<<20)
	for _, uid := range []int{0, daemon, alice} {
		h.refusedForSpace(uid)
	}
	c := h.client()
	c.write("MAIL FROM:<sender@sender.test>\r\n")
	if reply := c.readReply(); !strings.HasPrefix(reply, "452 ") {
		c.write("RCPT TO:<to@busy.test>\r\n")
		c.readReply()
		c.write("DATA\r\n")
		c.expect("354 ")
		c.write("Subject: no room\r\n\r\nx\r\n.\r\n")
		c.expect("452 ")
	}
	if n := len(h.queue()); n != queued {
		t.Errorf("%d messages in the queue, want %d", n, queued)
	}

	h.fill("spool/filler", everything)
	h.refusedForSpace(alice)
	open.Store(true)
	if r := run(t, h.command(me, "sendmail", "-q")); r.code != 0 {
		t.Fatalf("sendmail -q: exit %d: %s", r.code, r.stderr)
	}
	h.emptied()
	if n := copies(sink, "queued before"); n != queued || sink.Count() != queued {
		t.Errorf("%d of %d messages arrived, %d in all", n, queued, sink.Count())
	}
	if !h.proc.running() {
		t.Fatal("the daemon has ended")
	}
	if err := os.Remove(h.path("spool/filler")); err != nil {
		t.Fatal(err)
	}
	h.send(mail("room again"), "to@busy.test")
	h.emptied()
	h.proc.stop()
}

func tried(h *host) (n int) {
	for _, item := range h.queue() {
		if item.Recipients[0].Attempts > 0 {
			n++
		}
	}
	return n
}

// refusedForSpace submits in vain.
func (h *host) refusedForSpace(uid int) {
	h.t.Helper()
	before := len(h.maildrop())
	r := h.sendmail(uid, mail("no room"), "to@busy.test")
	if r.code != 75 {
		h.t.Errorf("uid %d: exit %d, want 75", uid, r.code)
	}
	oneLine(h.t, "sendmail", r.stderr, "")
	if n := len(h.maildrop()); n != before {
		h.t.Errorf("uid %d: %d files in the maildrop, %d before", uid, n, before)
	}
}

// TestDiskFullDaemonDown: with no daemon and no room nothing is taken and nothing
// half-written stays; a daemon that starts delivers what it has all the same.
func TestDiskFullDaemonDown(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, settings{
		"submission.max_message_size": quoted("1MiB"), "retry.first": quoted("1h"), "retry.max": quoted("1h"),
	})
	var open atomic.Bool
	sink := h.net.busy("busy.test", func() bool { return !open.Load() })
	h.smallDisk("spool", "96m", h.user)
	h.start()
	h.send(mail("queued before"), "to@busy.test")
	h.deferred("grey-listed")
	h.proc.stop()
	h.fill("spool/filler", everything)
	for _, uid := range []int{0, daemon, alice} {
		h.refusedForSpace(uid)
	}
	open.Store(true)
	h.start()
	if r := run(t, h.command(me, "sendmail", "-q")); r.code != 0 {
		t.Fatalf("sendmail -q: exit %d: %s", r.code, r.stderr)
	}
	h.emptied()
	if copies(sink, "queued before") != 1 || sink.Count() != 1 {
		t.Errorf("%d messages arrived, want the one that was queued", sink.Count())
	}
	h.proc.stop()
}

// TestMailboxDiskFull: a mailbox on a full disk keeps what it has, and nothing
// more, until there is room; then the message is in it, whole.
func TestMailboxDiskFull(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, nil)
	h.user = me
	h.settings["local.mailbox"] = quoted("mbox:" + h.path("mail") + "/{user}")
	h.mkdir("mail")
	for _, name := range []string{"spool", "run", "postrider.toml"} {
		h.give(name)
	}
	h.configure()
	h.smallDisk("mail", "1m", me)
	sender := h.net.sink("sender.test", smtptest.Options{})
	h.start()
	login := loginName(t)
	h.send(mail("first"), login)
	h.emptied()
	before := readFile(t, h.path("mail/"+login))
	h.fill("mail/filler", everything)
	h.send(mail("second")+strings.Repeat("A line of the second message.\n", 10_000), login)
	h.deferred("no space")
	if after := readFile(t, h.path("mail/"+login)); string(after) != string(before) {
		t.Errorf("the mailbox has changed: %d bytes, %d before", len(after), len(before))
	}
	if err := os.Remove(h.path("mail/filler")); err != nil {
		t.Fatal(err)
	}
	h.emptied()
	box := string(readFile(t, h.path("mail/"+login)))
	if !strings.HasPrefix(box, string(before)) || strings.Count(box, "A line of the second message.\n") != 10_000 || sender.Count() != 0 {
		t.Errorf("the mailbox has %d bytes, there are %d reports", len(box), sender.Count())
	}
}

// TestDiskFails: the first sync that fails ends the daemon, loudly. Nothing that was
// taken before is lost, and nothing is taken that is not on disk.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("needs strace")
	}
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	h.proc.stop()
	cmd := h.command(h.user, "postrider")
	cmd.Args = []string{strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=40+", cmd.Path, "daemon"}
	cmd.Path = strace
	p := h.launch(cmd)
	p.ready()
	taken := map[string]bool{}
	for i := 0; p.running() && i < 1000; i++ {
		token := fmt.Sprintf("token-%04d-", i)
		if r := h.sendmail(me, mail(token), "-f", "sender@sender.test", "to@good.test"); r.code == 0 {
			taken[token] = true
		} else if r.code != 75 {
			t.Errorf("%s: exit %d: %s", token, r.code, r.stderr)
		}
	}
	if code := p.exit(patience); code != 74 {
		t.Errorf("the daemon ended with %d, want 74", code)
	}
	if !p.log.has("\npostrider: ") || !p.log.has("check the disk") {
		t.Error("the daemon does not say what to do")
	}
	h.start()
	if me == 0 {
		h.maildropIsEmpty()
	}
	h.emptied()
	for token := range taken {
		if copies(sink, token) == 0 {
			t.Errorf("%s was taken and is lost", token)
		}
	}
	if len(taken) < 5 {
		t.Errorf("only %d messages were taken: the disk failed too early to tell anything", len(taken))
	}
}

// readReply reads one line, whatever it is.
func (c *client) readReply() string {
	c.t.Helper()
	return c.expect("")
}
