package smtpd_test

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

const intro = "EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<b@local.test>\r\n"

func TestPipelinedInOneWrite(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		f := start(t, nil)
		c := f.dial(network)
		c.send(intro + "DATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n")
		reply := c.expect("220 mx.test ", "250 ", "250 2.1.0", "250 2.1.5", "354", "250 2.0.0 Ok: queued as ")
		c.expect("221 ")
		c.closed()
		m, text := f.only()
		if id := strings.TrimPrefix(reply, "250 2.0.0 Ok: queued as "); id != m.ID.String() {
			t.Errorf("reply names %s, queued as %s", id, m.ID)
		}
		if !strings.HasSuffix(text, "\n.dot\n") || !strings.HasPrefix(text, "Received: ") {
			t.Errorf("%s: stored %q", network, text)
		}
	}
}

func TestOrigins(t *testing.T) {
	tests := []struct {
		name, network, hello string
		fixedUp              bool
		submissionID         string
		received             string
	}{
		{"network", "tcp", "EHLO c.test\r\n", false, "", "from c.test ([127.0.0.1])\n\tby mx.test (postrider) with ESMTP id "},
		{"network without extensions", "tcp", "HELO c.test\r\n", false, "", "with SMTP id "},
		{"local client", "unix", "EHLO localhost\r\n", true, "", fmt.Sprintf("by mx.test (postrider, from userid %d)\n\tid ", os.Getuid())},
		{"local client without greeting", "unix", "", true, "", "userid"},
		{"sendmail", "unix", "EHLO [submit:abcd1234]\r\n", false, "abcd1234", "userid"},
		{"sendmail raw", "unix", "EHLO [submit:abcd1234;raw]\r\n", false, "abcd1234", "userid"},
		{"literal from the network", "tcp", "EHLO [submit:abcd1234]\r\n", false, "", "with ESMTP"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, func(s *settings) { s.smtpd.CommandName = func(int) string { return "cmd" } })
			c := f.dial(tt.network)
			c.expect("220 ")
			if tt.hello != "" {
				c.send(tt.hello)
				c.expect("250 ")
			}
			c.send("MAIL FROM:<a@c.test>\r\n")
			c.expect("250 ")
			c.send("RCPT TO:<b@local.test>\r\n")
			c.expect("250 ")
			c.send("DATA\r\n")
			c.expect("354 ")
			c.send("Subject: x\r\n\r\nhi\r\n.\r\n")
			c.expect("250 2.0.0 Ok: queued as ")
			m, text := f.only()
			if got := strings.Contains(text, "\nMessage-ID: <"); got != tt.fixedUp {
				t.Errorf("fixed up: %v, want %v:\n%s", got, tt.fixedUp, text)
			}
			if !strings.Contains(text, tt.received) {
				t.Errorf("trace lacks %q:\n%s", tt.received, text)
			}
			if m.SubmissionID != tt.submissionID {
				t.Errorf("submission ID %q", m.SubmissionID)
			}
			want := queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, Client: c.LocalAddr().String()}
			if tt.network == "unix" {
				want = queue.Origin{Via: queue.ViaSocket, UID: os.Getuid(), PID: os.Getpid(), Command: "cmd"}
			}
			want.Hello = m.Origin.Hello
			if m.Origin != want {
				t.Errorf("origin %+v, want %+v", m.Origin, want)
			}
		})
	}
}

func TestSameSubmissionTwice(t *testing.T) {
	f := start(t, nil)
	const text = "MAIL FROM:<a@c.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n"
	var first, again, other string
	for i, to := range []*string{&first, &again} {
		c := f.dial("unix")
		c.send("EHLO [submit:abcd1234]\r\n" + text)
		*to = c.expect("220 ", "250 ", "250 ", "250 ", "354 ", "250 2.0.0")
		if i == 1 { // a further message of the same session is a new one
			c.send(text)
			other = c.expect("250 ", "250 ", "354 ", "250 2.0.0")
		}
	}
	if first != again || other == first {
		t.Errorf("replies %q, %q, %q", first, again, other)
	}
	if n := len(f.messages()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestLocalLeniency(t *testing.T) {
	f := start(t, nil)
	c := f.dial("unix")
	long := strings.Repeat("x", 100_000)
	c.send("MAIL FROM:<alice>\nRCPT TO:bob\nRCPT TO:<\"c d\">\nDATA\nSubject: x\n\n" + long + "\n..\n.\nQUIT\n")
	c.expect("220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 ")
	m, text := f.only()
	if got := m.Envelope.ReversePath.String(); got != "alice@origin.test" {
		t.Errorf("sender %q", got)
	}
	if got := fmt.Sprint(m.Recipients[0].Address, m.Recipients[1].Address); got != `bob@origin.test "c d"@origin.test` {
		t.Errorf("recipients %s", got)
	}
	if !strings.HasSuffix(text, "\n\n"+long+"\n.\n") {
		t.Errorf("stored %.300q", text)
	}
}

func TestEnvelopeParameters(t *testing.T) {
	f := start(t, nil)
	c := f.dial("tcp")
	c.send("EHLO c\r\nMAIL FROM:<a@c.test> RET=HDRS ENVID=QQ+2B1 BODY=8BITMIME SMTPUTF8 SIZE=100\r\n" +
		"RCPT TO:<\"a b\"@Local.Test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2BX@C.test\r\n" +
		"RCPT TO:<b@local.test> NOTIFY=NEVER ORCPT=X400;c=de+3bA\r\n" +
		"DATA\r\nSubject: grüß Gott\r\n\r\nx\r\n.\r\n")
	c.expect("220 ", "250 ", "250 ", "250 ", "250 ", "354 ", "250 ")
	m, _ := f.only()
	e := queue.Envelope{ReversePath: address.Address{Local: "a", Domain: "c.test"}, EnvID: "QQ+1", Ret: queue.RetHeaders,
		Body: queue.Body8BitMIME, SMTPUTF8: true}
	if m.Envelope != e {
		t.Errorf("envelope %+v, want %+v", m.Envelope, e)
	}
	want := []queue.Recipient{
		{Address: address.Address{Local: "a b", Domain: "Local.Test"}, Original: "rfc822;Bob+X@C.test", Notify: queue.NotifySuccess | queue.NotifyDelay},
		{Address: address.Address{Local: "b", Domain: "local.test"}, Original: "X400;c=de;A", Notify: queue.NotifyNever},
	}
	for i, r := range m.Recipients {
		if !reflect.DeepEqual(r, want[i]) {
			t.Errorf("recipient %+v, want %+v", r, want[i])
		}
	}
}

func TestRefusals(t *testing.T) {
	limits := func(s *settings) { s.smtpd.MaxSize, s.smtpd.MaxRecipients = 2000, 2 }
	const mail = "EHLO c\r\nMAIL FROM:<a@c.test>\r\n"
	tests := []struct {
		name, send string
		replies    []string
	}{
		{"second MAIL", mail + "MAIL FROM:<b@c.test>\r\n", []string{"250 ", "503 5.5.1"}},
		{"declared size", "EHLO c\r\nMAIL FROM:<a@c.test> SIZE=2001\r\n", []string{"552 5.3.4"}},
		{"huge declared size", "EHLO c\r\nMAIL FROM:<a@c.test> SIZE=99999999999\r\n", []string{"552 5.3.4"}},
		{"too many recipients", mail + strings.Repeat("RCPT TO:<b@local.test>\r\n", 3), []string{"250 ", "250 ", "250 ", "452 4.5.3"}},
		{"long ENVID", "EHLO c\r\nMAIL FROM:<a@c.test> ENVID=" + strings.Repeat("x", 101) + "\r\n", []string{"501 5.5.4"}},
		{"long ORCPT", mail + "RCPT TO:<b@local.test> ORCPT=x;" + strings.Repeat("x", 500) + "\r\n", []string{"250 ", "501 5.5.4"}},
		{"BINARYMIME", "EHLO c\r\nMAIL FROM:<a@c.test> BODY=BINARYMIME\r\n", []string{"555 5.5.4"}},
		{"bad domain", mail + "RCPT TO:<b@-.->\r\n", []string{"250 ", "553 5.1.3"}},
		{"no recipients", mail + "DATA\r\n", []string{"250 ", "503 5.5.1"}},
		{"size", intro + "DATA\r\n\r\n" + strings.Repeat("x\r\n", 1000) + ".\r\n", []string{"250 ", "250 ", "354 ", "552 5.3.4"}},
		{"size in chunks", intro + "BDAT 1500\r\n" + strings.Repeat("x", 1500) + "BDAT 1500 LAST\r\n" + strings.Repeat("x", 1500),
			[]string{"250 ", "250 ", "250 ", "552 5.3.4"}},
		{"hops", intro + "DATA\r\n" + strings.Repeat("Received: x\r\n", 51) + "\r\n.\r\n", []string{"250 ", "250 ", "354 ", "554 5.4.6"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, limits)
			c := f.dial("tcp")
			c.expect("220 ")
			c.send(tt.send)
			c.expect("250 ")
			c.expect(tt.replies...)
			c.send("NOOP\r\n") // it goes on
			c.expect("250 ")
			if n := len(f.messages()); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func TestAnnouncement(t *testing.T) {
	f := start(t, func(s *settings) { s.smtpd.MaxSize, s.smtpd.MaxRecipients = 1000, 5 })
	for network, want := range map[string]string{
		"tcp":  "mx.test PIPELINING 8BITMIME ENHANCEDSTATUSCODES CHUNKING SMTPUTF8 DSN LIMITS RCPTMAX=5 SIZE 1000",
		"unix": "mx.test PIPELINING 8BITMIME ENHANCEDSTATUSCODES CHUNKING SMTPUTF8 DSN SIZE 1000",
	} {
		c := f.dial(network)
		c.expect("220 ")
		c.send("EHLO " + strings.Repeat("n", 4000) + "\r\n")
		var lines []string
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, strings.TrimSpace(line[4:]))
			if line[3] == ' ' {
				break
			}
		}
		if got := strings.Join(lines, " "); got != want {
			t.Errorf("%s announces %q, want %q", network, got, want)
		}
	}
}

// TestStalledBody is the trap of a body that comes slowly: nothing of it may ever
// be taken for a command.
func TestStalledBody(t *testing.T) {
	f := start(t, func(s *settings) { s.smtpd.DataTimeout = 50 * time.Millisecond })
	c := f.dial("tcp")
	c.send(intro + "DATA\r\nSubject: x\r\n\r\nhi\r\n")
	c.expect("220 ", "250 ", "250 ", "250 ", "354 ", "421 4.4.2")
	// The client did not notice and goes on with its body.
	io.WriteString(c, "MAIL FROM:<evil@c.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\nevil\r\n.\r\n")
	c.closed()
	if n := len(f.messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

func TestBareLineFeed(t *testing.T) {
	f := start(t, nil)
	c := f.dial("tcp")
	c.send(intro + "DATA\r\nSubject: x\n\nhi\n.\nQUIT\n" + strings.Repeat("more\r\n", 10000))
	c.expect("220 ", "250 ", "250 ", "250 ", "354 ", "550 5.5.2")
	c.closed()
	if n := len(f.messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}
