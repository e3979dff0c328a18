package callers

import "testing"

const dovecotConfiguration = `protocols = lmtp
log_path = /var/log/dovecot.log
ssl = no
mail_location = maildir:~/Maildir
auth_username_format = %Ln
userdb {
  driver = passwd
}
passdb {
  driver = static
  args = nopassword=y
}
service lmtp {
  unix_listener lmtp {
    user = postrider
    mode = 0600
  }
}
`

// dovecot keeps the mailboxes of a second postrider of this machine.
func dovecot(t *testing.T, m *machine) {
	m.write(t, "/etc/dovecot/callers.conf", dovecotConfiguration)
	m.daemon(t, "root", "exec dovecot -F -c /etc/dovecot/callers.conf")
	m.must(t, "root", "sh /usr/src/postrider/contrib/make-directories postrider /var/spool/postrider-lmtp")
	m.start(t, "postrider-lmtp", "submission.listen = []\nlocal.mailbox = \"lmtp:unix:/run/dovecot/lmtp\"")
	const variable = "POSTRIDER_CONFIG=/etc/postrider/postrider-lmtp.toml"
	until(t, patience, "Dovecot listens", func() bool { return exists(m.root + "/run/dovecot/lmtp") })

	m.sends(t, "dovecot.caller", "bob, carol@example.org, nobody-such@example.org, dovecot.caller@example.net", variable)
	for _, user := range []string{"bob", "carol"} {
		a := m.one(t, user+maildir, "Subject: dovecot.caller")
		// Dovecot says for whom a message is only where it is for one.
		a.check(t, "alice@example.org", "")
		a.says(t, "From", "Alice Liddell <alice@example.org>")
		a.hasBody(t, text)
	}
	m.one(t, relayed, "Subject: dovecot.caller").check(t, "alice@example.org", "dovecot.caller@example.net")
	bounce := m.one(t, "alice"+maildir, "Subject: dovecot.caller")
	bounce.check(t, "", "alice@example.org")
	bounce.contains(t, "\nFinal-Recipient: rfc822; nobody-such@example.org\n")
	bounce.contains(t, "\nStatus: 5.1.1\n")
	m.emptied(t, variable)
}
