package dsn_test

import (
	"strings"
	"testing"

	"postrider/delivery/dsn"
	"postrider/internal/address"
)

// FuzzReport: nothing that strangers say makes a field, a block or a part.
func FuzzReport(f *testing.F) {
	f.Add("550 5.1.1 no", "carol", "example.net", "rfc822;c@d", "env", "mx", original)
	f.Add("550-a\r\nBcc: x@y\r\n\r\n550 b", "a\nBcc: x", "b\r\n\r\nc", "x;\n\ny", "e\n\nFinal-Recipient: x", "m\nAction: delivered", "\n--golden\n")
	f.Add(strings.Repeat("x", 5000)+"\x00\x1b[2J\u0085Bcc: x\u2028y", "jürgen", "é", "utf-8;é", "\xff", "", "no header end")
	f.Add(strings.Repeat("a\n", 5000), "", "", ";", " ", " ", "")
	f.Add(strings.Repeat(" ", 3000)+"x"+strings.Repeat(" ", 3000), "\t", "\x0b\x0c", "\t;\t", "\x1c\x1d\x1e", "\x7f", "A: b\n\n")
	f.Fuzz(func(t *testing.T, reply, name, domain, orcpt, envID, remote, message string) {
		for _, smtputf8 := range []bool{false, true} {
			a := address.Address{Local: name, Domain: domain}
			r := report(dsn.Failed, dsn.Recipient{Address: a, Original: orcpt, Status: reply, Remote: remote, Diagnostic: reply, FinalLog: envID, Written: address.Address{Local: domain, Domain: name}})
			r.To, r.EnvID, r.QueueID, r.SMTPUTF8, r.Boundary, r.InReplyTo = a, envID, orcpt, smtputf8, "", reply
			r.Hostname, r.Return = "host.example.com", dsn.Full
			checkReport(t, r, message, compose(t, r, message))
		}
	})
}
