package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"

	"postrider/internal/smtptest"
)

// TestOneReport: several failed recipients of one message share one report, and
// those that did not fail are not in it.
func TestOneReport(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sender, good := h.net.sink("sender.test", smtptest.Options{}), h.net.sink("good.test", smtptest.Options{})
	h.net.refusing("bad.test")
	h.net.refusing("worse.test")
	h.send(mail("shared"), "a@bad.test", "b@bad.test", "c@worse.test", "d@good.test", "e@nowhere.test")
	h.emptied()
	if sender.Count() != 1 || good.Count() != 1 {
		t.Fatalf("%d reports and %d messages, want one of each", sender.Count(), good.Count())
	}
	report := sender.Messages()[0]
	text := string(report.Data)
	if report.From != "" {
		t.Errorf("the report has the reverse-path %q, want none", report.From)
	}
	for _, r := range []string{"a@bad.test", "b@bad.test", "c@worse.test", "e@nowhere.test"} {
		if !strings.Contains(text, "Final-Recipient: rfc822; "+r) && !strings.Contains(text, "Final-Recipient: rfc822;"+r) {
			t.Errorf("the report does not name %s", r)
		}
	}
	if strings.Contains(text, "d@good.test") {
		t.Error("the report names a recipient that got the message")
	}
	for _, part := range []string{"multipart/report", "Action: failed", "Subject: shared", "Auto-Submitted: auto-replied"} {
		if !strings.Contains(text, part) {
			t.Errorf("the report lacks %q:\n%s", part, text)
		}
	}
}

// TestUndeliverableReport: a report that cannot be delivered goes to postmaster,
// once; if that fails too it ends there.
func TestUndeliverableReport(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprintf("postmaster is there: %v", there), func(t *testing.T) {
			t.Parallel()
			h := startHost(t, nil)
			h.net.refusing("bad.test")
			h.net.refusing("sender.test")
			if !there {
				h.net.refusing("postmaster.test")
				h.send(mail("doomed"), "to@bad.test")
				h.emptied()
				h.proc.logged("to=postmaster@postmaster.test destination=postmaster.test host=mx.postmaster.test status=bounced")
				return
			}
			postmaster := h.net.sink("postmaster.test", smtptest.Options{})
			h.send(mail("doomed"), "to@bad.test")
			h.emptied()
			if postmaster.Count() != 1 || copies(postmaster, "doomed") != 1 {
				t.Errorf("postmaster got %d messages, want the report", postmaster.Count())
			}
			if m := postmaster.Messages(); len(m) > 0 && m[0].From != "" {
				t.Errorf("it has the reverse-path %q, want none", m[0].From)
			}
		})
	}
}

// TestNullSender: mail with the null reverse-path that fails is reported to nobody.
func TestNullSender(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	postmaster := h.net.sink("postmaster.test", smtptest.Options{})
	h.net.refusing("bad.test")
	if r := h.sendmail(me, mail("nobody"), "-f", "<>", "to@bad.test"); r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	h.emptied()
	h.proc.logged("undeliverable mail dropped")
	if postmaster.Count() != 0 {
		t.Errorf("postmaster got %d messages", postmaster.Count())
	}
}

// TestNotify: who asks for no report gets none; who asks for success is told how far
// we know of it, unless the next host has taken that over.
func TestNotify(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sender := h.net.sink("sender.test", smtptest.Options{})
	h.net.refusing("bad.test")
	plain := h.net.sink("plain.test", smtptest.Options{})
	knows := h.net.sink("knows.test", smtptest.Options{DSN: true})
	for _, c := range []struct {
		token  string
		args   []string
		action string // of the report; empty for none
	}{
		{"never-bad", []string{"-N", "never", "to@bad.test"}, ""},
		{"success-bad", []string{"-N", "success", "to@bad.test"}, ""},
		{"delay-bad", []string{"-N", "delay", "to@bad.test"}, ""},
		{"failure-bad", []string{"-N", "failure", "to@bad.test"}, "failed"},
		{"never-good", []string{"-N", "never", "to@plain.test"}, ""},
		{"default-good", []string{"to@plain.test"}, ""},
		{"success-good", []string{"-N", "success,failure", "-V", "envelope-id", "to@plain.test"}, "relayed"},
		{"success-passed-on", []string{"-N", "success", "-V", "envelope-id", "to@knows.test"}, ""},
	} {
		r := h.sendmail(me, mail(c.token), append([]string{"-f", "sender@sender.test"}, c.args...)...)
		if r.code != 0 || r.stderr != "" {
			t.Fatalf("%s: exit %d: %s", c.token, r.code, r.stderr)
		}
		h.emptied()
		want := 0
		if c.action != "" {
			want = 1
		}
		if n := copies(sender, "Subject: "+c.token); n != want {
			t.Errorf("%s: %d reports, want %d", c.token, n, want)
		}
		if c.action != "" && copies(sender, "Action: "+c.action) != 1 {
			t.Errorf("%s: no report says %q", c.token, c.action)
		}
	}
	if plain.Count() != 3 || knows.Count() != 1 {
		t.Fatalf("%d and %d messages arrived, want 3 and 1", plain.Count(), knows.Count())
	}
	if copies(sender, "Original-Envelope-Id: envelope-id") != 1 {
		t.Error("the report of success does not give the envelope id back")
	}
	m := knows.Messages()[0]
	if notify := m.To[0].Options.Notify; len(notify) != 1 || notify[0] != smtp.DSNNotifySuccess || m.Mail.EnvelopeID != "envelope-id" {
		t.Errorf("passed on: NOTIFY %v, ENVID %q", notify, m.Mail.EnvelopeID)
	}
}

// TestLocalSuccess: delivery into a mailbox is reported as such, to one who asks,
// and the mailbox has the message.
func TestLocalSuccess(t *testing.T) {
	t.Parallel()
	h := newHost(t, settings{"local.mailbox": quoted("mbox:/to be set")})
	h.user = me
	h.settings["local.mailbox"] = quoted("mbox:" + h.path("mail") + "/{user}")
	h.mkdir("mail")
	for _, dir := range []string{"spool", "run", "postrider.toml"} {
		h.give(dir)
	}
	h.configure()
	h.start()
	sender := h.net.sink("sender.test", smtptest.Options{})
	login := loginName(t)
	if r := h.sendmail(me, mail("local"), "-f", "sender@sender.test", "-N", "success", login); r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	h.emptied()
	if box := string(readFile(t, h.path("mail/"+login))); strings.Count(box, "Subject: local\n") != 1 {
		t.Errorf("the mailbox holds:\n%s", box)
	}
	if copies(sender, "Action: delivered") != 1 || sender.Count() != 1 {
		t.Errorf("%d reports, want one of the delivery", sender.Count())
	}
	h.send(mail("unknown"), "no-such-user")
	h.emptied()
	if copies(sender, "no-such-user") != 1 {
		t.Error("no report tells of the user that does not exist")
	}
}

// TestDelayNotice: after some time the sender is told that a message still waits;
// once, however often it is tried after that, and not where that was not wanted.
func TestDelayNotice(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"retry.delay_notice": quoted("1s")})
	sender := h.net.sink("sender.test", smtptest.Options{})
	var open atomic.Bool
	busy := h.net.busy("busy.test", func() bool { return !open.Load() })
	h.send(mail("delayed"), "to@busy.test")
	h.send("Precedence: bulk\n"+mail("bulk"), "to@busy.test")
	if r := h.sendmail(me, mail("quiet"), "-f", "sender@sender.test", "-N", "failure", "to@busy.test"); r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	until(t, "the sender is told", func() bool { return copies(sender, "Action: delayed") == 1 })
	attempts := 0
	for _, item := range h.queue() {
		attempts = max(attempts, item.Recipients[0].Attempts)
	}
	until(t, "it is tried three times more", func() bool {
		for _, item := range h.queue() {
			if item.Recipients[0].Attempts < attempts+3 {
				return false
			}
		}
		return true
	})
	open.Store(true)
	h.emptied()
	if busy.Count() != 3 || sender.Count() != 1 || copies(sender, "Subject: delayed") != 1 {
		t.Errorf("%d messages arrived and %d reports, want 3 and one, of the first", busy.Count(), sender.Count())
	}
}

// TestExpiry: what could not be delivered in its time comes back with the last
// reason.
func TestExpiry(t *testing.T) {
	t.Parallel()
	h := startHost(t, settings{"retry.lifetime": quoted("2s")})
	sender := h.net.sink("sender.test", smtptest.Options{})
	h.net.busy("busy.test", always)
	h.net.domain("gone.test") // where nobody listens
	h.send(mail("too-late"), "to@busy.test", "to@gone.test")
	h.emptied()
	var text strings.Builder
	for _, m := range sender.Messages() {
		text.Write(m.Data)
	}
	for part, times := range map[string]int{
		"Final-Recipient: rfc822; to@busy.test\r\nAction: failed\r\nStatus: 5.4.7": 1, "grey-listed, come again": 2,
		"Final-Recipient: rfc822; to@gone.test\r\nAction: failed\r\nStatus: 5.4.7": 1, "connection refused": 2,
		"\r\nSubject: too-late": sender.Count(),
	} {
		if n := strings.Count(text.String(), part); n != times {
			t.Errorf("the reports contain %q %d times, want %d:\n%s", part, n, times, text.String())
		}
	}
}
