package callers

import (
	"testing"
	"time"
)

// cron mails the output of a job to the user whose it is, or to those of MAILTO.
func cron(t *testing.T, m *machine) {
	const job = "test -e cron.once || { touch cron.once; cat cron.output; }"
	for user, c := range map[string]struct{ mailto, output string }{
		"carol": {"", "cron-user.caller\n"},
		"alice": {"MAILTO=bob,cron.caller@example.net\n", "cron.caller\n"},
	} {
		m.writeAs(t, user, "cron.output", c.output+text)
		if r := m.run(t, user, c.mailto+"* * * * * "+job+"\n", "crontab -"); r.code != 0 || r.stderr != "" {
			t.Fatalf("crontab: exit %d: %s", r.code, r.stderr)
		}
	}
	m.daemon(t, "root", "exec cron -f")
	// It starts jobs when a minute begins.
	a := m.within(t, patience+time.Minute, "carol", "\ncron-user.caller\n")
	a.check(t, "carol@example.org", "carol@example.org")
	a.says(t, "From", "root@example.org (Cron Daemon)", "Subject", "Cron <carol@testhost> "+job, "To", "carol@example.org")
	a.hasBody(t, "cron-user.caller\n"+text)
	m.both(t, "\ncron.caller\n", "alice@example.org", func(a arrival) {
		a.says(t, "From", "root@example.org (Cron Daemon)", "Subject", "Cron <alice@testhost> "+job, "To", "bob@example.org,cron.caller@example.net")
		a.hasBody(t, "cron.caller\n"+text)
	})
}

// at mails the output of a job to the user whose it is.
func at(t *testing.T, m *machine) {
	m.must(t, "root", "atd")
	m.writeAs(t, "carol", "at.output", "at.caller\n"+text)
	m.must(t, "carol", "echo cat at.output | at now")
	a := m.one(t, "carol", "\nat.caller\n")
	a.check(t, "carol@example.org", "carol@example.org")
	a.says(t, "From", "Carol <carol@example.org>", "Subject", "Output from your job        1", "To", "carol@example.org")
	a.hasBody(t, "at.caller\n"+text)
}
