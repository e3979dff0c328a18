package sendmail_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/sendmail"
	"postrider/queue"
)

// replies gives the lines that a session got, the greeting left out.
func replies(t *testing.T, got result) []string {
	t.Helper()
	if got.stderr != "" {
		t.Errorf("stderr %q", got.stderr)
	}
	if strings.Count(got.stdout, "\n") != strings.Count(got.stdout, "\r\n") {
		t.Errorf("line ends in %q", got.stdout)
	}
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\r\n"), "\r\n")
	if !strings.HasPrefix(lines[0], "220 testhost.example.org ") {
		t.Errorf("greeted with %q", lines[0])
	}
	return lines[1:]
}

func TestDialogue(t *testing.T) {
	const (
		mail = "MAIL FROM:<a@x.example>\r\n"
		to   = "RCPT TO:<bob@example.net>\r\n"
		data = "DATA\r\nSubject: s\r\n\r\nbody\r\n.\r\n"
	)
	for name, tc := range map[string]struct {
		session string
		codes   string // of the replies, parted by blanks
		status  int
		queued  int
	}{
		"nothing at all":          {"", "", 0, 0},
		"QUIT":                    {"QUIT\r\n", "221", 0, 0},
		"without greeting":        {mail + to + data + "QUIT\r\n", "250 250 354 250 221", 0, 1},
		"HELO":                    {"HELO x\r\n" + mail + to + data, "250 250 250 354 250", 0, 1},
		"literal in HELO":         {"HELO [127.0.0.1]\r\n" + mail + to + data, "250 250 250 354 250", 0, 1},
		"LF line ends":            {strings.ReplaceAll("HELO x\r\n"+mail+to+data+"QUIT\r\n", "\r", ""), "250 250 250 354 250 221", 0, 1},
		"lower case":              {"helo x\r\nmail from:<a@x.example>\r\nrcpt to:<bob@example.net>\r\ndata\r\n.\r\nquit\r\n", "250 250 250 354 250 221", 0, 1},
		"blanks and no brackets":  {"MAIL FROM: a@x.example\r\nRCPT TO: bob@example.net \r\n" + data, "250 250 354 250", 0, 1},
		"tabs, blanks in front":   {"\tMAIL\tFROM:<a@x.example>\r\n  RCPT  TO:<bob@example.net>\r\n" + data + " quit \r\n", "250 250 354 250 221", 0, 1},
		"argument of DATA":        {mail + to + "DATA x\r\n" + data + "QUIT now\r\n", "250 250 501 354 250 221", 0, 1},
		"several messages":        {mail + to + data + mail + to + data + "RSET\r\n" + mail + to + data + "QUIT\r\n", "250 250 354 250 250 250 354 250 250 250 250 354 250 221", 0, 3},
		"RSET":                    {mail + to + "RSET\r\n" + to + "DATA\r\n", "250 250 250 503 503", 0, 0},
		"HELO resets":             {mail + "HELO x\r\n" + to, "250 250 503", 0, 0},
		"HELO without a name":     {"HELO\r\nEHLO \r\n" + mail, "501 501 250", 0, 0},
		"NOOP VRFY HELP":          {"NOOP\r\nNOOP x\r\nVRFY bob\r\nHELP\r\n", "250 250 252 214", 0, 0},
		"unknown commands":        {"FROB\r\n\r\nEXPN list\r\nSTARTTLS\r\nBDAT 3 LAST\r\n" + mail, "500 500 500 500 500 250", 0, 0},
		"out of order":            {to + "DATA\r\n" + mail + mail + "DATA\r\n", "503 503 250 503 554", 0, 0},
		"EOF in DATA":             {mail + to + "DATA\r\nSubject: s\r\n\r\nhalf\r\n", "250 250 354", 75, 0},
		"EOF after a dot":         {mail + to + "DATA\r\nSubject: s\r\n\r\nhalf\r\n.", "250 250 354", 75, 0},
		"EOF in a command":        {mail + "RCPT TO:<bob", "250", 0, 0},
		"null sender":             {"MAIL FROM:<>\r\n" + to + data, "250 250 354 250", 0, 1},
		"null recipient":          {mail + "RCPT TO:<>\r\n" + to + data, "250 501 250 354 250", 0, 1},
		"bad paths":               {"MAIL\r\nMAIL FROM:\r\nMAIL TO:<a@x>\r\nMAIL FROM:<a b@x>\r\nMAIL FROM:<a@x\r\n" + mail + "RCPT TO:<b@>\r\n", "501 501 501 501 501 250 553", 0, 0},
		"control characters":      {"MAIL FROM:<a\x00b@x>\r\nHELO \x1b[2J\r\n", "500 500", 0, 0},
		"a line too long":         {"NOOP " + strings.Repeat("x", 100_000) + "\r\nNOOP\r\n", "500 250", 0, 0},
		"parameters":              {"MAIL FROM:<a@x> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=a+2Bb AUTH=<> SMTPUTF8\r\nRCPT TO:<b@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;c@y\r\n" + data, "250 250 354 250", 0, 1},
		"wrong parameters":        {"MAIL FROM:<a@x> FROB=1\r\nMAIL FROM:<a@x> BODY=MANY\r\nMAIL FROM:<a@x> SIZE=x\r\nMAIL FROM:<a@x> RET=NO\r\nMAIL FROM:<a@x> ENVID=+0A\r\nMAIL FROM:<a@x> ENVID=+\r\n", "555 501 501 501 501 501", 0, 0},
		"wrong for a recipient":   {mail + "RCPT TO:<b@x> NOTIFY=NEVER,DELAY\r\nRCPT TO:<b@x> ORCPT=x\r\nRCPT TO:<b@x> SIZE=1\r\n", "250 501 501 555", 0, 0},
		"too large by SIZE":       {"MAIL FROM:<a@x> SIZE=100000000000\r\n" + mail, "552 250", 0, 0},
		"a path in quotes":        {mail + `RCPT TO:<"b > c"@x.example> NOTIFY=NEVER` + "\r\n" + data, "250 250 354 250", 0, 1},
		"an attack on the header": {mail + "RCPT TO:<b@x>\rBcc: y\r\n", "250 500", 0, 0},
	} {
		for name2, w := range ways {
			t.Run(name+"/"+name2, func(t *testing.T) {
				h := newHost(t, "")
				collect := w.prepare(t, h)
				if name2 == "spool" {
					must(t, os.Chown(h.spool, aliceUID(), -1))
				}
				got := h.send(tc.session, "-bs", "-odb", "-oem")
				var codes []string
				for _, line := range replies(t, got) {
					codes = append(codes, line[:min(3, len(line))])
				}
				if strings.Join(codes, " ") != tc.codes || got.status != tc.status {
					t.Errorf("status %d, said %q, want %d and %s", got.status, got.stdout, tc.status, tc.codes)
				}
				if n := len(collect()); n != tc.queued {
					t.Errorf("%d messages queued, want %d", n, tc.queued)
				}
			})
		}
	}
}

// TestDialogueContent: what comes by SMTP is completed like what comes from a pipe.
func TestDialogueContent(t *testing.T) {
	for name, w := range ways {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			collect := w.prepare(t, h)
			if name == "spool" {
				must(t, os.Chown(h.spool, aliceUID(), -1))
			}
			long := strings.Repeat("..", 10_000)
			whole := strings.Repeat("x", 8<<10) + "." // its dot begins what is read next
			got := h.send("EHLO x\r\nMAIL FROM:<s> RET=FULL ENVID=e+2B1\r\nRCPT TO:<bob> NOTIFY=NEVER ORCPT=rfc822;o@x.example\r\nDATA\r\nTo: bob\r\nBcc: hidden\r\n\r\n"+
				"..dot\r\n"+long+"\r\n"+whole+"\r\nlone LF\n\r\n.\r\nQUIT\r\n", "-bs")
			if got.status != 0 {
				t.Fatalf("%+v", got)
			}
			all := collect()
			if len(all) != 1 {
				t.Fatalf("%d messages queued", len(all))
			}
			m := all[0]
			head, body, _ := strings.Cut(m.content, "\n\n")
			if m.sender != "s@example.org" || len(m.recipients) != 1 || m.recipients[0] != "bob@example.org" {
				t.Errorf("from %q to %q", m.sender, m.recipients)
			}
			if m.envelope.Ret != queue.RetFull || m.envelope.EnvID != "e+1" || m.notify != queue.NotifyNever {
				t.Errorf("envelope %+v, notify %v", m.envelope, m.notify)
			}
			if body != ".dot\n"+long[1:]+"\n"+whole+"\nlone LF\n\n" {
				t.Errorf("body %.200q", body)
			}
			for _, field := range []string{`From: "Alice Q. Example" <s@example.org>`, "To: bob@example.org", "Date: ", "Message-I"} {
				if !strings.Contains("\n"+head, "\n"+field) {
					t.Errorf("no %q in\n%s", field, head)
				}
			}
			if strings.Contains(strings.ToLower(head), "bcc") {
				t.Errorf("blind copies in\n%s", head)
			}
		})
	}
}

func TestEHLO(t *testing.T) {
	h := newHost(t, "[submission]\nmax_message_size = \"12345\"\n")
	got := h.send("EHLO x\r\n", "-bs")
	want := []string{"250-testhost.example.org", "250-PIPELINING", "250-SIZE 12345", "250-8BITMIME", "250-SMTPUTF8", "250-DSN", "250 ENHANCEDSTATUSCODES"}
	if lines := replies(t, got); strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("said %q, want %q", lines, want)
	}
}

// TestDialogueRefusals: refusals are told in the words of whoever refuses, and the
// dialogue goes on.
func TestDialogueRefusals(t *testing.T) {
	needRoot(t)
	const session = "MAIL FROM:<a@x.example>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: s\r\n\r\n%s\r\n.\r\nNOOP\r\nQUIT\r\n"
	for name, tc := range map[string]struct {
		server *server
		extra  string
		body   string
		want   string
	}{
		"not allowed":   {&server{onMail: refuse(550, 5, 7, 1, "not you")}, "", "x", "550 5.7.1 not you"},
		"no room":       {&server{onMail: refuse(452, 4, 3, 1, "no room")}, "", "x", "452 4.3.1 no room"},
		"bad message":   {&server{onData: func() error { return refuse(554, 5, 6, 0, "bad\x1bmessage") }}, "", "x", "554 5.6.0 bad message"},
		"too large":     {&server{}, "[submission]\nmax_message_size = \"500\"\n", strings.Repeat("x\r\n", 1000), "552 5.3.4 message too big: the limit is 500 bytes"},
		"no way at all": {nil, "", "x", "451 4.3.0 message not queued: *"},
		"denied":        {nil, "[submission]\ndeny_users = [\"alice\"]\n", "x", "550 5.7.1 *"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, tc.extra)
			if tc.server != nil {
				h.serve(tc.server)
			}
			if name == "denied" {
				h.withMaildrop()
			}
			got := h.send(fmt.Sprintf(session, tc.body), "-bs")
			lines := replies(t, got)
			if len(lines) != 6 || !matchLines(lines[3], tc.want) || !strings.HasPrefix(lines[4], "250 ") || got.status != 0 {
				t.Errorf("status %d, said %q, want %q", got.status, lines, tc.want)
			}
		})
	}
}

// TestDialogueInTurns: who waits for each reply gets it before the next command.
func TestDialogueInTurns(t *testing.T) {
	h := newHost(t, "")
	s := h.serve(&server{})
	in, toCommand := io.Pipe()
	fromCommand, out := io.Pipe()
	env := h.env("-bs")
	env.Stdin = in
	ended := make(chan int)
	go func() {
		env.Stdout, env.Stderr = out, io.Discard
		ended <- sendmail.Run(env)
	}()
	c := converse(fromCommand)
	c.expect(t, "220")
	for _, turn := range [][2]string{{"EHLO x", "250"}, {"MAIL FROM:<a@x.example>", "250"}, {"RCPT TO:<bob@example.net>", "250"},
		{"DATA", "354"}, {"Subject: s\r\n\r\nx\r\n.", "250"}, {"QUIT", "221"}} {
		_, err := io.WriteString(toCommand, turn[0]+"\r\n")
		must(t, err)
		c.expect(t, turn[1])
	}
	if status := <-ended; status != 0 || len(s.mails()) != 1 {
		t.Errorf("status %d, %d messages", status, len(s.mails()))
	}
}

// TestDialogueNobodyReads ends when nobody reads the replies.
func TestDialogueNobodyReads(t *testing.T) {
	h := newHost(t, "")
	env := h.env("-bs")
	env.Stdin = strings.NewReader("NOOP\r\n")
	env.Stdout, env.Stderr = brokenPipe{}, io.Discard
	if status := sendmail.Run(env); status != 75 {
		t.Errorf("status %d", status)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// TestDialogueSurvivesTheDaemon: the daemon may end between two messages.
func TestDialogueSurvivesTheDaemon(t *testing.T) {
	needRoot(t)
	h := newHost(t, "")
	collect := openMaildrop(t, h)
	h.script(t, false, "220 h\r\n", "250 h\r\n")
	env := h.env("-bs")
	env.Stdin = strings.NewReader("MAIL FROM:<a@x>\r\nRCPT TO:<bob>\r\nDATA\r\n.\r\nMAIL FROM:<a@x>\r\nRCPT TO:<bob>\r\nDATA\r\n.\r\n")
	env.Patience.Greet = 50 * time.Millisecond // the socket is there, and nobody behind it
	got := run(env)
	if got.status != 0 || strings.Count(got.stdout, "\r\n250 2.0.0 Ok: left for the daemon\r\n") != 2 || len(collect()) != 2 {
		t.Errorf("%+v", got)
	}
}

func FuzzDialogue(f *testing.F) {
	for _, s := range []string{"EHLO x\r\nMAIL FROM:<a@x> SIZE=1\r\nRCPT TO:<b@y> NOTIFY=NEVER\r\nDATA\r\n..\r\n.\r\nQUIT\r\n", "MAIL FROM:<>\nRCPT TO:b\nDATA\n.\n", "DATA\r\n.\r\n"} {
		f.Add(s)
	}
	reply := regexp.MustCompile(`^[2345]\d\d[ -][^\r\n]*$`)
	f.Fuzz(func(t *testing.T, session string) {
		h := newHost(t, "")
		collect := openMaildrop(t, h)
		got := h.send(session, "-bs")
		if got.status != 0 && got.status != 75 || got.stderr != "" {
			t.Errorf("%+v", got)
		}
		taken := 0
		for line := range strings.SplitSeq(strings.TrimSuffix(got.stdout, "\r\n"), "\r\n") {
			if !reply.MatchString(line) {
				t.Errorf("said %q", line)
			}
			taken += b2i(strings.HasPrefix(line, "250 2.0.0 Ok: left"))
		}
		if n := len(collect()); n != taken {
			t.Errorf("%d messages queued, %d said to be", n, taken)
		}
	})
}
