package smtpd_test

import "testing"

func TestReplyCodes(t *testing.T) {
	const mail = "MAIL FROM:<a@c.test>\r\n"
	tests := []struct {
		name, send string
		replies    []string // after 220, and 250 to EHLO
	}{
		{"HELP", "HELP\r\nHELP MAIL\r\n", []string{"214 2.0.0", "214 2.0.0"}},
		{"VRFY", "VRFY bob\r\n", []string{"252 "}},
		{"EXPN", "EXPN list\r\n", []string{"502 5.5.1"}},
		{"unknown command", "XYZZY\r\n", []string{"500 5.5.2"}},
		{"empty line", "\r\n", []string{"500 5.5.2"}},
		{"NOOP with a word", "NOOP x\r\n", []string{"250 "}},
		{"RCPT first", "RCPT TO:<b@local.test>\r\n", []string{"503 5.5.1"}},
		{"DATA first", "DATA\r\n", []string{"503 5.5.1"}},
		{"DATA without recipient", mail + "DATA\r\n", []string{"250 ", "503 5.5.1"}},
		{"MAIL again", mail + mail, []string{"250 ", "503 5.5.1"}},
		{"MAIL among chunks", mail + "RCPT TO:<b@local.test>\r\nBDAT 1\r\nx" + mail, []string{"250 ", "250 ", "250 ", "503 5.5.1"}},
		{"DATA among chunks", mail + "RCPT TO:<b@local.test>\r\nBDAT 1\r\nxDATA\r\n", []string{"250 ", "250 ", "250 ", "503 5.5.1"}},
		{"unknown parameter of MAIL", "MAIL FROM:<a@c.test> HOLDFOR=9\r\n", []string{"555 5.5.4"}},
		{"unknown parameter of RCPT", mail + "RCPT TO:<b@local.test> BY=9\r\n", []string{"250 ", "555 5.5.4"}},
		{"DELIVERBY on MAIL", "MAIL FROM:<a@c.test> BY=9;R\r\n", []string{"555 5.5.4"}},
		{"parameter without value", "MAIL FROM:<a@c.test> SIZE=\r\n", []string{"501 5.5.4"}},
		{"postmaster", mail + "RCPT TO:<postmaster>\r\nRCPT TO:<PostMaster>\r\nRCPT TO:postmaster\r\n", []string{"250 ", "250 2.1.5", "250 2.1.5", "250 2.1.5"}},
		{"STARTTLS without a certificate", "STARTTLS\r\n", []string{"502 5.5.1"}},
		{"AUTH without a service for it", "AUTH PLAIN\r\n", []string{"502 5.5.1"}},
		{"QUIT", "QUIT\r\n", []string{"221 "}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := start(t, nil).dial("tcp")
			c.send("EHLO c.test\r\n" + tt.send)
			c.expect("220 ", "250 ")
			c.expect(tt.replies...)
		})
	}
	t.Run("MAIL before EHLO", func(t *testing.T) {
		c := start(t, nil).dial("tcp")
		c.send(mail)
		c.expect("220 ", "503 5.5.1")
	})
}
