package callers

import (
	"path/filepath"
	"testing"
)

// postfix is a null client on a machine of its own, with a network in common with
// this one, whose smarthost postrider is.
func postfix(t *testing.T, m *machine) {
	client := &machine{root: mountRoot(t, "postfix"), users: m.users}
	client.network(t)
	for _, name := range []string{"/etc/passwd", "/etc/group"} {
		// Its users are alice, as here, besides its own.
		client.write(t, name, client.read(t, name)+lines(m.read(t, name), "alice"))
	}
	client.mkdir(t, m.users["alice"].home)
	client.must(t, "root", `postconf -e myhostname=client.example.org mydomain=example.org myorigin=client.example.org mydestination= \
  'relayhost=[127.0.0.1]:2500' inet_interfaces=loopback-only inet_protocols=ipv4 master_service_disable=inet maillog_file=/var/log/postfix.log`)
	client.must(t, "root", "postfix start")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Postfix says:\n%s", client.read(t, "/var/log/postfix.log"))
		}
		client.must(t, "root", "postfix stop")
	})
	r := client.run(t, "alice", "Subject: postfix.caller\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\n"+text,
		"sendmail -i -f bounce@example.org bob@example.org postfix.caller@example.net")
	if r.code != 0 {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	m.both(t, "Subject: postfix.caller", "bounce@example.org", func(a arrival) {
		a.says(t, "From", "Alice Liddell <bounce@example.org>")
		a.hasBody(t, text)
	})
	until(t, patience, "the queue of Postfix is empty", func() bool {
		names, err := filepath.Glob(client.root + "/var/spool/postfix/[aid]*/*")
		return err == nil && len(names) == 0
	})
}
