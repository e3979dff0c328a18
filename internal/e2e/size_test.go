package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtptest"
)

// TestLargeMessage: 30 MiB go through unharmed, by the socket and by the spool, and
// neither daemon nor sendmail holds them in memory.
func TestLargeMessage(t *testing.T) {
	t.Parallel()
	// slack is what a garbage collector at its ease may hold besides.
	const slack = 28 << 20
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	line := strings.Repeat("0123456789", 7) + "\n"
	body := strings.Repeat(line, 30<<20/len(line))
	h.send("Subject: warm up\n\n"+body[:1<<20], "to@good.test")
	h.emptied()
	small := memory(h.proc.cmd.Process.Pid)
	if small == 0 {
		t.Skip("the kernel does not tell how much memory a process has")
	}
	send := func(way string) {
		if peak := h.sendWatched("Subject: large\n\n" + body); peak > slack {
			t.Errorf("by the %s: sendmail took %d MiB of memory", way, peak>>20)
		}
	}
	deliver := func(way string, daemon func() int) {
		h.emptied()
		if peak := daemon(); peak > small+slack {
			t.Errorf("by the %s: the daemon took %d MiB of memory, %d MiB before", way, peak>>20, small>>20)
		}
	}
	daemon := watchMemory(h.proc.cmd.Process.Pid)
	send("socket")
	deliver("socket", daemon)
	h.proc.stop()
	send("spool")
	h.start()
	deliver("spool", watchMemory(h.proc.cmd.Process.Pid))
	if n := copies(sink, "Subject: large"); n != 2 {
		t.Fatalf("%d copies arrived, want 2", n)
	}
	want := sha256.Sum256([]byte(body))
	for _, m := range sink.Messages()[1:] {
		_, got, _ := bytes.Cut(m.Data, []byte("\r\n\r\n"))
		if sha256.Sum256(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))) != want {
			t.Error("a message has changed on its way")
		}
	}
}

// sendWatched hands in a message and tells how much memory that took.
func (h *host) sendWatched(text string) (peak int) {
	h.t.Helper()
	cmd := h.command(me, "sendmail", "-i", "-f", "sender@sender.test", "to@good.test")
	cmd.Stdin = strings.NewReader(text)
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	watch := watchMemory(cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		h.t.Fatal(err)
	}
	return watch()
}

// memory is what a process has in memory of its own, in bytes: a mapped database is
// the kernel's. It is zero for one that has ended.
func memory(pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		var kib int
		if n, _ := fmt.Sscanf(line, "RssAnon: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// watchMemory looks at a process until peak is called, which gives the most there
// was.
func watchMemory(pid int) (peak func() int) {
	stop, result := make(chan struct{}), make(chan int, 1)
	go func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for most := 0; ; {
			most = max(most, memory(pid))
			select {
			case <-stop:
				result <- most
				return
			case <-tick.C:
			}
		}
	}()
	return func() int { close(stop); return <-result }
}

// TestTooLarge: a message over the limit is refused before it is stored, by every
// way.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"submission.max_message_size": quoted("100KiB")})
	h.net.busy("busy.test", always)
	text := mail("large") + strings.Repeat("too much of it\n", 10_000)
	users := []int{me}
	if me == 0 {
		users = []int{0, daemon, alice}
	}
	for _, up := range []bool{true, false} {
		for _, uid := range users {
			r := h.sendmail(uid, text, "to@busy.test")
			if r.code != 69 {
				t.Errorf("daemon up: %v, uid %d: exit %d, want 69", up, uid, r.code)
			}
			oneLine(t, "sendmail", r.stderr, "too big")
		}
		if up {
			c := h.client()
			c.write("EHLO client.test\r\n")
			for strings.HasPrefix(c.expect("250"), "250-") {
			}
			c.write(fmt.Sprintf("MAIL FROM:<sender@sender.test> SIZE=%d\r\n", len(text)))
			c.expect("552 ")
			c.say("MAIL FROM:<sender@sender.test>", "RCPT TO:<to@busy.test>", "DATA")
			c.write(strings.ReplaceAll(text, "\n", "\r\n") + ".\r\n")
			c.expect("552 ")
			h.proc.stop()
		}
	}
	h.start()
	if n := len(h.queue()); n != 0 {
		t.Errorf("%d messages were queued", n)
	}
}
