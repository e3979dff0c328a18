package callers

import "testing"

// incoming is a message from elsewhere, as a filter gets it.
func incoming(name string) string {
	return "From dave@example.com Mon Nov 23 09:00:00 2026\nReturn-Path: <dave@example.com>\nFrom: Dave <dave@example.com>\nTo: alice@example.org\n" +
		"Message-ID: <" + name + "@example.com>\nSubject: " + name + "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"
}

// procmail forwards one copy away, and one to another user; raw, that is without an
// empty line at the end.
func procmail(t *testing.T, m *machine) {
	m.writeAs(t, "alice", ".procmailrc", ":0 cr\n! procmail.caller@example.net\n\n:0 r\n! bob\n")
	if r := m.run(t, "alice", incoming("procmail.caller")+text, "procmail"); r.code != 0 || r.stderr != "" {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	m.both(t, "Subject: procmail.caller", "alice@example.org", func(a arrival) {
		a.says(t, "From", "Dave <dave@example.com>", "Message-ID", "<procmail.caller@example.com>")
		a.hasBody(t, text)
	})
}

// formailSplit mails each message of a mailbox anew.
func formailSplit(t *testing.T, m *machine) {
	mailbox := incoming("formail-1.caller") + "one\n\n" + incoming("formail-2.caller") + "two\n\n"
	r := m.run(t, "alice", mailbox, "formail -I 'From ' -I Return-Path -s sendmail -oi -f bounce@example.org bob formail-split.caller@example.net")
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	for subject, want := range map[string]string{"Subject: formail-1.caller": "one\n\n", "Subject: formail-2.caller": "two\n\n"} {
		for place, to := range map[string]string{relayed: "formail-split.caller@example.net", "bob": "bob@example.org"} {
			a := m.one(t, place, subject)
			a.check(t, "bounce@example.org", to)
			a.hasBody(t, want)
		}
	}
}

// formailReply answers a message.
func formailReply(t *testing.T, m *machine) {
	r := m.run(t, "alice", incoming("formail-reply.caller"), `{ formail -rt -A 'X-Loop: alice@example.org'; echo 'I am away.'; } | sendmail -oi -t -f ''`)
	if r.code != 0 || r.stderr != "" {
		t.Errorf("exit %d: %s", r.code, r.stderr)
	}
	a := m.one(t, relayed, "Subject: Re: formail-reply.caller")
	a.check(t, "", "dave@example.com")
	a.says(t, "To", "dave@example.com", "References", "<formail-reply.caller@example.com>", "X-Loop", "alice@example.org")
	a.contains(t, "\n\nI am away.\n")
}
