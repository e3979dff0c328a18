package callers

import (
	"os"
	"strings"
	"testing"
)

// TestCallers runs each caller on one machine, all at once.
func TestCallers(t *testing.T) {
	if os.Getenv(wanted) != apart || os.Getpid() != 1 {
		t.Skip("needs root and a minute: make e2e")
	}
	m := newMachine(t)
	for _, c := range append(mailPrograms(), libraries()...) {
		run(t, m, c.name, c.test)
	}
	for _, c := range []struct {
		name string
		test func(*testing.T, *machine)
	}{
		{"cron", cron},
		{"at", at},
		{"smartd", smartd},
		{"mdadm", mdadm},
		{"logwatch", logwatch},
		{"fail2ban", fail2ban},
		{"procmail", procmail},
		{"formail-split", formailSplit},
		{"formail-reply", formailReply},
		{"postfix", postfix},
		{"forward-procmail", forwardProcmail},
		{"forward-vacation", forwardVacation},
		{"aliases", aliases},
		{"dovecot", dovecot},
	} {
		run(t, m, c.name, c.test)
	}
}

func run(t *testing.T, m *machine, name string, test func(*testing.T, *machine)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		test(t, m)
	})
}

// text is what most callers send: characters beyond ASCII, and lines that mail
// programs like to change.
const text = "Grüße, Čeština.\n\nFrom the first column\n.\n..two\n\tand a tab\nthe end\n"

// tooMuch is more than the machine's postrider takes.
const tooMuch = 3 << 19

// caller is a program that mails the text, as alice, to a user of this machine and
// to somebody elsewhere. It must see, too, that a message is not taken.
type caller struct {
	name string
	// script is run with TOKEN, the subject, LOCAL and REMOTE, the recipients, in its
	// environment, and with the text as its input.
	script string
	// files to be written into alice's home directory before.
	files map[string]string
	// from is the reverse-path wanted; alice@example.org if empty.
	from string
	// fields wanted besides the subject, names and values in turn.
	fields []string
	// body wanted; the text if empty.
	body string
	// deaf says that it does not look at how sendmail ended.
	deaf bool
}

func (c caller) test(t *testing.T, m *machine) {
	for name, content := range c.files {
		m.writeAs(t, "alice", name, content)
	}
	token := c.name + ".caller"
	remote := token + "@example.net"
	variables := []string{"TOKEN=" + token, "LOCAL=bob@example.org", "REMOTE=" + remote}
	r := m.run(t, "alice", text, c.script, variables...)
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	c.verify(t, m.one(t, relayed, "Subject: "+token), token, remote)
	c.verify(t, m.one(t, "bob", "Subject: "+token), token, "bob@example.org")
	if r := m.run(t, "alice", strings.Repeat(text, tooMuch/len(text)), c.script, variables...); (r.code == 0) != c.deaf {
		t.Errorf("exit %d of a message that is too large: %s%s", r.code, r.stdout, r.stderr)
	}
}

func (c caller) verify(t *testing.T, a arrival, token, to string) {
	t.Helper()
	if c.from == "" {
		c.from = "alice@example.org"
	}
	if c.body == "" {
		c.body = text
	}
	a.check(t, c.from, to)
	a.says(t, append(c.fields, "Subject", token)...)
	a.hasBody(t, c.body)
	if t.Failed() {
		t.Log(a.data)
	}
}
