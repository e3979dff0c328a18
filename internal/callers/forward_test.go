package callers

import (
	"fmt"
	"strings"
	"testing"
)

// forwardProcmail has all of erin's mail sorted by procmail, as its manual says.
func forwardProcmail(t *testing.T, m *machine) {
	m.writeAs(t, "erin", ".forward", `"|IFS=' ' && exec /usr/bin/procmail -f- || exit 75 #erin"`+"\n")
	m.writeAs(t, "erin", ".procmailrc", `:0 H
* ^Subject: forward-refused
{
  EXITCODE = 67
  :0
  /dev/null
}

:0 cr
! forward-procmail.caller@example.net

:0 r
Maildir/
`)
	m.sends(t, "forward-procmail.caller", "erin")
	a := m.one(t, relayed, "Subject: forward-procmail.caller")
	a.check(t, "erin@example.org", "forward-procmail.caller@example.net")
	a.says(t, "From", "Alice Liddell <alice@example.org>", "Delivered-To", "erin@example.org")
	a.hasBody(t, text)
	a = m.one(t, "erin"+maildir, "Subject: forward-procmail.caller")
	a.check(t, "alice@example.org", "erin@example.org")
	a.hasBody(t, text)

	// procmail says that there is no such user.
	m.sends(t, "forward-refused.caller", "erin")
	a = m.one(t, "alice", "Subject: forward-refused.caller")
	a.check(t, "", "alice@example.org")
	a.contains(t, "\nFinal-Recipient: rfc822; erin@example.org\nAction: failed\nStatus: 5.1.1\n")
}

// forwardVacation answers for frank, who is away, and leaves him his mail.
func forwardVacation(t *testing.T, m *machine) {
	m.writeAs(t, "frank", ".forward", `\frank, "|/usr/bin/vacation -z frank"`+"\n")
	m.writeAs(t, "frank", ".vacation.msg", "Subject: Away: $SUBJECT\n\nBack on Monday.\n")
	m.must(t, "frank", "vacation -i")
	for i := range 2 {
		m.sends(t, fmt.Sprintf("vacation-%d.caller", i), "frank@example.org")
		a := m.one(t, "frank", fmt.Sprintf("Subject: vacation-%d.caller", i))
		a.check(t, "alice@example.org", "frank@example.org")
		a.hasBody(t, text)
	}
	// One answer in a week is enough.
	a := m.one(t, "alice", "Subject: Away: vacation-")
	a.check(t, "", "alice@example.org")
	a.contains(t, "\n\nBack on Monday.\n")
}

// aliases are for people, for a program and for a file.
func aliases(t *testing.T, m *machine) {
	m.write(t, "/etc/aliases", `# comment
staff: bob, aliases.caller@example.net
tickets: "|/usr/bin/formail -b -I 'X-Ticket: yes' | /usr/sbin/sendmail -oi tickets.caller@example.net"
archive: /var/tmp/archive/mail
`)
	m.must(t, "root", "newaliases; install -d -o nobody /var/tmp/archive")
	m.sends(t, "aliases.caller", "staff")
	m.both(t, "Subject: aliases.caller", "alice@example.org", func(a arrival) { a.hasBody(t, text) })

	m.sends(t, "tickets.caller", "tickets")
	a := m.one(t, relayed, "Subject: tickets.caller")
	a.check(t, "nobody@example.org", "tickets.caller@example.net")
	a.says(t, "X-Ticket", "yes", "From", "Alice Liddell <alice@example.org>")
	a.hasBody(t, text+"\n") // formail ends each message with an empty line

	m.sends(t, "archive.caller", "archive")
	until(t, patience, "the message is in the archive", func() bool {
		return strings.HasSuffix(m.mailbox(t, "/var/tmp/archive/mail"), "the end\n\n")
	})
	archive := entries(m.mailbox(t, "/var/tmp/archive/mail"))
	if len(archive) != 1 {
		t.Fatalf("the archive has %d messages: %q", len(archive), archive)
	}
	archived := arrival{id: "what is in the archive", data: archive[0]}
	archived.says(t, "Subject", "archive.caller", "Return-Path", "<alice@example.org>")
	archived.hasBody(t, text)
}

// sends sends the text as alice.
func (m *machine) sends(t *testing.T, subject, to string, variables ...string) {
	t.Helper()
	message := "To: " + to + "\nSubject: " + subject + "\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n" + text
	if r := m.run(t, "alice", message, "sendmail -i -t", variables...); r.code != 0 || r.stderr != "" {
		t.Fatalf("sendmail: exit %d: %s", r.code, r.stderr)
	}
}
