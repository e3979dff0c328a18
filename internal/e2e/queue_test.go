package e2e

import (
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"postrider/internal/smtptest"
)

// entry is how a message looks in the listing that monitoring programs parse.
var entry = regexp.MustCompile(`(?m)^-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
[0-9A-F]{12}[ *]? +\d+ [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d +sender@sender\.test
 *\(.*grey-listed, come again\)
 +to@busy\.test

-- \d+ Kbytes in 1 Request\.$`)

// TestListing: mailq and sendmail -bp show the same queue, daemon or no daemon.
func TestListing(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"retry.first": quoted("1h"), "retry.max": quoted("1h")})
	h.net.busy("busy.test", always)
	listings := func() []result {
		return []result{
			run(t, h.command(me, "mailq")), run(t, h.command(me, "sendmail", "-bp")), h.postrider("mailq"),
		}
	}
	for _, r := range listings() {
		if r.code != 0 || r.stdout != "Mail queue is empty\n" || r.stderr != "" {
			t.Errorf("empty queue: exit %d, %q, %q", r.code, r.stdout, r.stderr)
		}
	}
	h.send(mail("listed"), "to@busy.test")
	h.deferred("grey-listed")
	up := listings()
	h.proc.stop()
	for i, r := range append(up, listings()...) {
		if r.code != 0 || !entry.MatchString(r.stdout) || r.stderr != "" {
			t.Errorf("listing %d: exit %d, %q\n%s", i, r.code, r.stderr, r.stdout)
		}
		if r.stdout != up[0].stdout {
			t.Errorf("listing %d differs:\n%s\n%s", i, r.stdout, up[0].stdout)
		}
	}
}

// TestFlush: sendmail -q has waiting mail tried at once; without a daemon it says
// that nobody would.
func TestFlush(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"retry.first": quoted("1h"), "retry.max": quoted("1h")})
	var open atomic.Bool
	sink := h.net.busy("busy.test", func() bool { return !open.Load() })
	h.send(mail("flushed"), "to@busy.test")
	h.deferred("grey-listed")
	h.proc.stop()
	r := run(t, h.command(me, "sendmail", "-q"))
	if r.code != 69 {
		t.Errorf("daemon down: exit %d, want 69", r.code)
	}
	oneLine(t, "postrider", r.stderr, "not running", "postrider daemon")
	open.Store(true)
	h.start()
	if n := len(h.queue()); n != 1 || sink.Count() != 0 {
		t.Fatalf("%d messages in the queue, %d delivered, before anything is due", n, sink.Count())
	}
	users := []int{me}
	if me == 0 {
		users = []int{alice}
	}
	for _, uid := range users {
		if r := run(t, h.command(uid, "sendmail", "-q")); r.code != 0 {
			t.Errorf("uid %d: exit %d: %s", uid, r.code, r.stderr)
		}
	}
	h.emptied()
	if n := copies(sink, "flushed"); n != 1 {
		t.Errorf("%d copies arrived, want one", n)
	}
}

// TestOwnMail: ordinary users see and delete their own messages only, and without
// a daemon none.
func TestOwnMail(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := startHost(t, settings{"retry.first": quoted("1h"), "retry.max": quoted("1h")})
	h.net.busy("busy.test", always)
	for _, uid := range []int{alice, bob} {
		if r := h.sendmail(uid, mail("private"), "to@busy.test"); r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
	}
	ids := map[int]string{}
	for _, item := range h.queue() {
		ids[*item.UID] = item.ID.String()
	}
	if len(ids) != 2 {
		t.Fatalf("root sees the messages of %d users, want two", len(ids))
	}
	r := run(t, h.command(alice, "mailq"))
	if r.code != 0 || !strings.Contains(r.stdout, ids[alice]) || strings.Contains(r.stdout, ids[bob]) {
		t.Errorf("alice's mailq: exit %d:\n%s", r.code, r.stdout)
	}
	for _, verb := range []string{"show", "cat"} {
		if r := run(t, h.command(alice, "postrider", "queue", verb, ids[alice])); r.code != 0 || r.stdout == "" {
			t.Errorf("%s of her own: exit %d: %s", verb, r.code, r.stderr)
		}
		if r := run(t, h.command(alice, "postrider", "queue", verb, ids[bob])); r.code != 65 || r.stdout != "" {
			t.Errorf("%s of another's: exit %d, want 65; output %q", verb, r.code, r.stdout)
		}
	}
	run(t, h.command(alice, "postrider", "queue", "delete", ids[bob]))
	run(t, h.command(alice, "postrider", "queue", "delete", "--all"))
	if item := h.one(); item.ID.String() != ids[bob] {
		t.Errorf("%s is left, want bob's %s", item.ID, ids[bob])
	}
	h.proc.stop()
	r = run(t, h.command(alice, "mailq"))
	if r.code != 69 || r.stdout != "" {
		t.Errorf("daemon down: exit %d, want 69; output %q", r.code, r.stdout)
	}
	oneLine(t, "postrider", r.stderr, "for root")
}

// TestDeleted: a deleted message is gone for good, and nobody is told.
func TestDeleted(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sender := h.net.sink("sender.test", smtptest.Options{})
	var open atomic.Bool
	sink := h.net.busy("busy.test", func() bool { return !open.Load() })
	h.send(mail("kept"), "to@busy.test")
	kept := h.one().ID
	h.send(mail("deleted"), "to@busy.test")
	for _, item := range h.queue() {
		if item.ID != kept {
			if r := h.postrider("queue", "delete", item.ID.String()); r.code != 0 {
				t.Fatalf("exit %d: %s", r.code, r.stderr)
			}
		}
	}
	open.Store(true)
	h.emptied()
	if copies(sink, "kept") != 1 || sink.Count() != 1 || sender.Count() != 0 {
		t.Errorf("%d messages arrived and %d reports, want one and none", sink.Count(), sender.Count())
	}
}
