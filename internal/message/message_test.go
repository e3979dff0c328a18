package message_test

import (
	"bytes"
	"errors"
	"io"
	"net/mail"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postrider/internal/address"
	"postrider/internal/message"
)

var (
	alice = address.Address{Local: "alice", Domain: "example.org"}
	// fixed adds everything.
	fixed = message.Options{
		Fixup: true, ExtractRecipients: true, Origin: "example.org", Hostname: "host.example.org", From: alice,
		Date: time.Date(2026, 11, 23, 4, 5, 6, 0, time.FixedZone("", 3600)), MessageID: "<id@host.example.org>",
	}
)

// added is what a message without any field gets with the options fixed.
const added = "Message-ID: <id@host.example.org>\nDate: Mon, 23 Nov 2026 04:05:06 +0100\nFrom: alice@example.org\n"

func dotEnds(o message.Options) message.Options { o.DotEnds = true; return o }

// read runs in through a Reader in one piece and byte by byte, which must agree.
func read(t *testing.T, in string, o message.Options) (string, *message.Header) {
	t.Helper()
	r := message.New(strings.NewReader(in), o)
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("read %q: %v", in, err)
	}
	slow, err := io.ReadAll(iotest.OneByteReader(message.New(iotest.OneByteReader(strings.NewReader(in)), o)))
	if err != nil || string(slow) != string(out) {
		t.Fatalf("read %q: byte by byte %q, %v; at once %q", in, slow, err, out)
	}
	if r.Size() != int64(len(out)) {
		t.Errorf("Size %d, read %d", r.Size(), len(out))
	}
	h, err := r.Header()
	if err != nil {
		t.Fatal(err)
	}
	if traits, err := message.Inspect(bytes.NewReader(out)); err != nil || traits != r.Traits() || traits.EightBit != r.BodyEightBit() {
		t.Errorf("Inspect says %+v, %v; the reader %+v", traits, err, r.Traits())
	}
	return string(out), h
}

func split(t *testing.T, msg string) (header, body string) {
	t.Helper()
	if body, ok := strings.CutPrefix(msg, "\n"); ok {
		return "", body
	}
	header, body, ok := strings.Cut(msg, "\n\n")
	if !ok {
		t.Fatalf("no blank line in %q", msg)
	}
	return header + "\n", body
}

func TestInput(t *testing.T) {
	long := strings.Repeat("x", 200000)
	for _, tc := range []struct{ name, in, header, body string }{
		{"dot ends", "Subject: s\n\na\n.\nb\n", "Subject: s\n", "a\n"},
		{"dot first in body", "Subject: s\n\n.\nb\n", "Subject: s\n", ""},
		{"dot first of all", ".\nSubject: s\n", "", ""},
		{"dot in header", "Subject: s\n.\nX: y\n\nbody\n", "Subject: s\n", ""},
		{"dot CRLF", "Subject: s\r\n\r\na\r\n.\r\nb\r\n", "Subject: s\n", "a\n"},
		{"dot CR CR LF", "Subject: s\n\na\n.\r\r\nb\n", "Subject: s\n", "a\n"},
		{"dot at EOF", "Subject: s\n\na\n.", "Subject: s\n", "a\n"},
		{"dot CR at EOF", "Subject: s\n\na\n.\r", "Subject: s\n", "a\n"},
		{"dot blank", "Subject: s\n\na\n. \nb\n", "Subject: s\n", "a\n. \nb\n"},
		{"dots kept", "Subject: s\n\n..a\n..\n.b\nend\n", "Subject: s\n", "..a\n..\n.b\nend\n"},
		{"dot CR text", "Subject: s\n\n.\rx\n.\r\r\rx\n", "Subject: s\n", ".\rx\n.\r\r\rx\n"},
		{"CRLF", "Subject: s\r\nX-A: 1\r\n\r\nl1\r\nl2\r\n", "Subject: s\nX-A: 1\n", "l1\nl2\n"},
		{"header CRLF", "Subject: s\r\nX-A: 1\r\n\r\nl1\nl2\n", "Subject: s\nX-A: 1\n", "l1\nl2\n"},
		{"body CRLF", "Subject: s\nX-A: 1\n\nl1\r\nl2\r\n", "Subject: s\nX-A: 1\n", "l1\nl2\n"},
		{"mixed", "Subject: s\nX-A: 1\r\nX-B: 2\n\r\nl1\n", "Subject: s\nX-A: 1\nX-B: 2\n", "l1\n"},
		{"CR CR LF", "Subject: s\r\r\n\r\r\r\nl1\r\r\nl2\n", "Subject: s\n", "l1\nl2\n"},
		{"bare CR", "Subject: s\n\na\rb\n\rc\n", "Subject: s\n", "a\rb\n\rc\n"},
		{"no final newline", "Subject: s\n\nno newline", "Subject: s\n", "no newline\n"},
		{"CR at EOF", "Subject: s\n\nx\r", "Subject: s\n", "x\n"},
		{"CRLF without last", "Subject: s\r\n\r\nlast\r\nx", "Subject: s\n", "last\nx\n"},
		{"empty", "", "", ""},
		{"header only", "Subject: s\n", "Subject: s\n", ""},
		{"header without newline", "Subject: s", "Subject: s\n", ""},
		{"header and blank line", "Subject: s\n\n", "Subject: s\n", ""},
		{"no header", "just text\nmore: text\n", "", "just text\nmore: text\n"},
		{"leading blank line", "\nSubject: s\n\nbody\n", "", "Subject: s\n\nbody\n"},
		{"leading CRLF", "\r\nSubject: s\n", "", "Subject: s\n"},
		{"trailing blank lines", "Subject: s\n\na\n\n\n", "Subject: s\n", "a\n\n\n"},
		{"blank lines only", "Subject: s\n\n\n\n\n", "Subject: s\n", "\n\n\n"},
		{"blank begins first line", " indented\nX: y\n\nb\n", "", " indented\nX: y\n\nb\n"},
		{"tab begins first line", "\tX: y\n\nb\n", "", "\tX: y\n\nb\n"},
		{"NUL in body", "Subject: s\n\na\x00b\n", "Subject: s\n", "a\x00b\n"},
		{"NUL in header", "Sub\x00ject: s\x00t\n\x00 u\n\nb\n", "Subject: st\n u\n", "b\n"},
		{"NUL line", "Subject: s\n\x00\nb\n", "Subject: s\n", "\x00\nb\n"},
		{"bare CR in header", "Subject: a\rBcc: b@x\n\nb\n", "Subject: a Bcc: b@x\n", "b\n"},
		{"long body line", "Subject: s\n\n" + long + "\n", "Subject: s\n", long + "\n"},
		{"long header line", "Subject: " + long + "\n\nb\n", "Subject: " + long + "\n", "b\n"},
		{"long first line without header", long + ": b\n", long + ": b\n", ""},
		{"From_ line", "From foo@bar Mon Jan  1 00:00:00 2024\nSubject: s\n\nFrom here\n>From there\n", "Subject: s\n", "From here\n>From there\n"},
		{"several From_ lines", "From a\n>From b\nFrom c\r\nSubject: s\n\nb\n", "Subject: s\n", "b\n"},
		{"From_ line quoted twice", ">>From a\nSubject: s\n\nb\n", "Subject: s\n", "b\n"},
		{"From_ line only", "From a\n\nb\n", "", "b\n"},
		{"From_ line in header", "Subject: s\nFrom foo@bar Mon Jan  1 00:00:00 2024\nX: y\n\nb\n", "Subject: s\n", "From foo@bar Mon Jan  1 00:00:00 2024\nX: y\n\nb\n"},
		{"no header line", "Subject: s\nthis is not a header\nX-A: 1\n\nb\n", "Subject: s\n", "this is not a header\nX-A: 1\n\nb\n"},
		{"colon alone", "Subject: s\n: x\n\nb\n", "Subject: s\n", ": x\n\nb\n"},
		{"folded", "Subject: one\n two\n\tthree\n \nX-A: 1\n\nb\n", "Subject: one\n two\n\tthree\n \nX-A: 1\n", "b\n"},
		{"no blank after colon", "Subject:s\nX-A:1\n\nb\n", "Subject:s\nX-A:1\n", "b\n"},
		{"blank before colon", "Subject : s\nX-A\t: 1\n\nb\n", "Subject: s\nX-A: 1\n", "b\n"},
		{"8 bit", "Subject: café\nX: caf\xe9\n\ncafé \xe9\n", "Subject: café\nX: caf\xe9\n", "café \xe9\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _ := read(t, tc.in, dotEnds(fixed))
			header, body := split(t, got)
			if header != tc.header+added || body != tc.body {
				t.Errorf("%.200q\n gave header %.200q\n and body %.200q", tc.in, header, body)
			}
		})
	}
}

func TestWithoutDotEndsDotsAreText(t *testing.T) {
	got, _ := read(t, "Subject: s\r\n\r\na\r\n.\r\nb\r\n.", fixed)
	if _, body := split(t, got); body != "a\n.\nb\n.\n" {
		t.Errorf("body %q", body)
	}
	got, _ = read(t, "Subject: s\n.\nX: y\n", fixed)
	if _, body := split(t, got); body != ".\nX: y\n" {
		t.Errorf("body %q", body)
	}
}

func TestHeaderFixup(t *testing.T) {
	const id, date, from = "Message-ID: <id@host.example.org>\n", "Date: Mon, 23 Nov 2026 04:05:06 +0100\n", "From: alice@example.org\n"
	for _, tc := range []struct{ name, in, want string }{
		{"keeps what is there", "DATE: x\nfrom: x@y.example\nmessage-id:\n", "DATE: x\nfrom: x@y.example\nmessage-id:\n"},
		{"duplicates", "Date: x\nDate: y\nFrom: a@b\nMessage-ID: garbage\n", "Date: x\nDate: y\nFrom: a@b\nMessage-ID: garbage\n"},
		{"Bcc", "To: a@b\nBcc: c@d,\n e@f\nbcc : g@h\nBCC:\nX: y\n", "To: a@b\nX: y\n" + id + date + from},
		{"other drops", "Return-Path: <a@b>\nResent-Bcc: x@y\n z@y\nContent-Length: 3\nLines: 3\nReceived: r\n", "Lines: 3\nReceived: r\nResent-" + id + "Resent-" + date + "Resent-" + from},
		{"kept", "Full-Name: x\nApparently-To: y\nErrors-To: e@f\nPrecedence: bulk\n", "Full-Name: x\nApparently-To: y\nErrors-To: e@f\nPrecedence: bulk\n" + id + date + from},
		{"Resent block", "Resent-To: r@x\nTo: a@b\n", "Resent-To: r@x\nTo: a@b\nResent-" + id + "Resent-" + date + "Resent-" + from},
		{"whole Resent block", "Resent-From: a@b\nResent-Date: d\nResent-Message-ID: i\n", "Resent-From: a@b\nResent-Date: d\nResent-Message-ID: i\n"},
		{"completes", "From: Joe User <joe>\nReply-To: help\nSender: boss\nCc: a, b@x.example,\n\t\"C c\" <c>\nErrors-To: err\nX-To: d\nDate: d\nMessage-ID: i\n",
			"From: Joe User <joe@example.org>\nReply-To: help@example.org\nSender: boss@example.org\nCc: a@example.org, b@x.example,\n\t\"C c\" <c@example.org>\nErrors-To: err@example.org\nX-To: d\nDate: d\nMessage-ID: i\n"},
		{"completes more", "To: g: a, b;\nDisposition-Notification-To: a\nMail-Followup-To: a\nReturn-Receipt-To: a\nReferences: a\nSubject: a\nDate: d\nMessage-ID: i\nFrom: a (c)\n",
			"To: g: a@example.org, b@example.org;\nDisposition-Notification-To: a@example.org\nMail-Followup-To: a@example.org\nReturn-Receipt-To: a@example.org\nReferences: a\nSubject: a\nDate: d\nMessage-ID: i\nFrom: a@example.org (c)\n"},
		{"completes Resent", "Resent-To: a\nResent-Cc: a\nResent-From: a\nResent-Sender: a\nResent-Reply-To: a\nResent-Date: d\nResent-Message-ID: i\n",
			"Resent-To: a@example.org\nResent-Cc: a@example.org\nResent-From: a@example.org\nResent-Sender: a@example.org\nResent-Reply-To: a@example.org\nResent-Date: d\nResent-Message-ID: i\n"},
		{"leaves nonsense", "To: \"a\nCc: undisclosed-recipients: ;\nFrom:\nDate:\nMessage-ID:\n", "To: \"a\nCc: undisclosed-recipients: ;\nFrom:\nDate:\nMessage-ID:\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, _ := read(t, tc.in+"\nb\n", fixed)
			if got != tc.want+"\nb\n" {
				t.Errorf("got %q\nwant %q", got, tc.want)
			}
		})
	}
}

func TestWithoutFixupOnlyDrops(t *testing.T) {
	o := fixed
	o.Fixup = false
	got, h := read(t, "From x\nTo : a\nBcc: b\nReturn-Path: x\nContent-Length: 1\n", o)
	if got != "To : a\n\n" {
		t.Errorf("got %q", got)
	}
	if len(h.Recipients) != 2 || h.Recipients[1].String() != "b@example.org" {
		t.Errorf("recipients %v", h.Recipients)
	}
	if got, _ := read(t, "text\n", o); got != "\ntext\n" {
		t.Errorf("no header: got %q", got)
	}
}

func TestRecipients(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		bad      int
	}{
		{"To: a@x, B <b@x>\nCc: c@x\nBcc: d@x\nBcc: e@x\n", "a@x b@x c@x d@x e@x", 0},
		{"To:\nCc: c@x\n", "c@x", 0},
		{"To: Team: a@x, B <b@x>; , c@x\n", "a@x b@x c@x", 0},
		{"To: undisclosed-recipients:;\nBcc: b@x\n", "b@x", 0},
		{"To: a@x,\n\tb@x,\r\n  c@x\n", "a@x b@x c@x", 0},
		{"To: a, b , alice\n", "a@example.org b@example.org alice@example.org", 0},
		{"To: a@x\nResent-To: r@x\nBcc: b@x\nResent-Bcc: s@x\n", "r@x s@x", 0},
		{"To: a@x\nResent-From: r@x\n", "a@x", 0},
		{"To: a@x\nApparently-To: b@x\n", "a@x", 0},
		{"To: a@x, b@@, c@x\nCc: <d\n", "a@x c@x", 2},
		{"To: a@x, b\x00c@x\n", "a@x bc@x", 0},
		{"To: a@x, b\x01c@x, d@x\n", "a@x d@x", 1},
		{"Subject: s\n", "", 0},
		{"To: a@x\n b@x\n", "a@x b@x", 0},
	} {
		_, h := read(t, tc.in+"\nTo: body@x\n", fixed)
		var got []string
		for _, a := range h.Recipients {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != tc.want || len(h.BadRecipients) != tc.bad {
			t.Errorf("%q: %v, bad %v", tc.in, got, h.BadRecipients)
		}
	}
	o := fixed
	o.ExtractRecipients = false
	if _, h := read(t, "To: a@x\n\n", o); len(h.Recipients) != 0 {
		t.Errorf("recipients without being asked: %v", h.Recipients)
	}
}

func TestHeaderFacts(t *testing.T) {
	_, h := read(t, "Received: a\nReceived: b;\n Received: c\nDelivered-To: x@y\nDelivered-To:\n z@y\nMessage-ID:\n <m@x> \nFrom: Joe <joe>, k@x\nTLS-Required: No\nSubject: é\nAuto-Submitted: auto-generated\n\n", fixed)
	if h.Received != 2 || strings.Join(h.DeliveredTo, " ") != "x@y z@y" || h.MessageID != "<m@x>" || len(h.From) != 2 ||
		h.From[0].String() != "joe@example.org" || !h.TLSOptional || !h.EightBit || !h.Automatic || h.Resent {
		t.Errorf("got %+v", h)
	}
	_, h = read(t, "Resent-From: x\nBcc: é@x\n\n", fixed)
	if h.MessageID != "<id@host.example.org>" || !h.Resent || h.EightBit || h.TLSOptional || h.Received != 0 {
		t.Errorf("got %+v", h)
	}
	_, h = read(t, "", fixed)
	if h.MessageID != "<id@host.example.org>" || len(h.From) != 1 || h.From[0] != alice {
		t.Errorf("got %+v", h)
	}
	for field, want := range map[string]bool{
		"Auto-Submitted: no": false, "Auto-Submitted: No (really); x=y": false, "Auto-Submitted: auto-replied (vacation)": true,
		"Precedence: BULK": true, "Precedence: list": true, "Precedence: first-class": false, "List-Id: <l.x>": true, "X: y": false,
	} {
		if _, h := read(t, field+"\n\n", fixed); h.Automatic != want {
			t.Errorf("%s: Automatic %v", field, h.Automatic)
		}
	}
}

func TestAddedFrom(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"", `alice@example.org`},
		{" \t\n", `alice@example.org`},
		{"Al B", `Al B <alice@example.org>`},
		{"Alice Q. Example", `"Alice Q. Example" <alice@example.org>`},
		{`Bob (the) "B" Builder`, `"Bob (the) \"B\" Builder" <alice@example.org>`},
		{`J. "Q" (x) O, y <z>`, `"J. \"Q\" (x) O, y <z>" <alice@example.org>`},
		{`back\slash`, `"back\\slash" <alice@example.org>`},
		{"A\nX-Inj: 1", `"A X-Inj: 1" <alice@example.org>`},
		{"A\r\n\r\nbody", `A body <alice@example.org>`},
		{" A  B\tC ", `A B C <alice@example.org>`},
		{"J.  R", `"J.  R" <alice@example.org>`},
		{"a\x00\x1b[1m", `"a  [1m" <alice@example.org>`},
		{"=?utf-8?q?x?=", `=?utf-8?q?x?= <alice@example.org>`},
		{"=?utf-8?q?x?= (y)", `"=?utf-8?q?x?= (y)" <alice@example.org>`},
		{strings.Repeat("n", 300), strings.Repeat("n", 300) + " <alice@example.org>"},
		{"Jörg, <x>", `=?utf-8?b?SsO2cmcsIDx4Pg==?= <alice@example.org>`},
		{"J\xf6rg", `=?utf-8?b?SsO2cmc=?= <alice@example.org>`},
	} {
		o := fixed
		o.FullName = tc.name
		got, _ := read(t, "Date: d\nMessage-ID: m\n\n", o)
		if got != "Date: d\nMessage-ID: m\nFrom: "+tc.want+"\n\n" {
			t.Errorf("name %q: got %q; want %q", tc.name, got, tc.want)
		}
		m, err := mail.ParseAddress(tc.want)
		if err != nil || m.Address != "alice@example.org" {
			t.Errorf("name %q: %q reads as %v, %v", tc.name, tc.want, m, err)
		}
	}
	o := fixed
	o.From = address.Address{}
	if got, h := read(t, "", o); !strings.Contains(got, "\nFrom: MAILER-DAEMON@example.org\n") || h.From[0].Local != "MAILER-DAEMON" {
		t.Errorf("null sender: %q", got)
	}
	o.From, o.FullName = address.Address{Local: "x"}, strings.Repeat("é.", 5000)
	got, _ := read(t, "", o)
	if !strings.Contains(got, "<x@example.org>\n") {
		t.Errorf("unqualified sender: %q", got)
	}
	for line := range strings.Lines(got) {
		if len(line) > message.MaxLine {
			t.Errorf("line of %d bytes", len(line))
		}
	}
}

func TestFullName(t *testing.T) {
	for _, tc := range []struct{ gecos, login, want string }{
		{"Alice Q. Example,Room 1,555", "alice", "Alice Q. Example"}, {"& Amper", "carol", "Carol Amper"},
		{"", "x", ""}, {",,,", "x", ""}, {"& &", "", "& &"}, {"root", "root", "root"},
	} {
		if got := message.FullName(tc.gecos, tc.login); got != tc.want {
			t.Errorf("FullName(%q, %q) = %q; want %q", tc.gecos, tc.login, got, tc.want)
		}
	}
}

func TestGeneratedMessageID(t *testing.T) {
	o := fixed
	o.MessageID = ""
	re := regexp.MustCompile(`^<20261123030506\.[0-9a-f]{16}@host\.example\.org>$`)
	a, err := message.New(strings.NewReader(""), o).Header()
	b, err2 := message.New(strings.NewReader(""), o).Header()
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	if !re.MatchString(a.MessageID) || a.MessageID == b.MessageID {
		t.Errorf("got %q and %q", a.MessageID, b.MessageID)
	}
}

func TestSizeLimit(t *testing.T) {
	o := fixed
	whole, _ := read(t, "Subject: s\n\nbody\n", o)
	o.MaxSize = int64(len(whole))
	read(t, "Subject: s\n\nbody\n", o)
	o.MaxSize--
	for range 2 {
		r := message.New(strings.NewReader("Subject: s\n\nbody\n"), o)
		if _, err := io.Copy(io.Discard, r); !errors.Is(err, message.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, message.ErrTooLarge) {
			t.Errorf("second read: got %v", err)
		}
	}
}

func TestDrain(t *testing.T) {
	in := strings.NewReader("S: s\n\na\n.\n" + strings.Repeat("rest\n", 100000))
	r := message.New(in, dotEnds(fixed))
	if _, err := io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	if in.Len() == 0 {
		t.Fatal("everything was read before Drain: the test proves nothing")
	}
	if r.Drain(); in.Len() != 0 {
		t.Errorf("%d bytes left", in.Len())
	}
}

func TestSourceErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"", "Subject: s\n", "Subject: s\n\nbody\n.", "Subject: s\n\nbody\r"} {
		r := message.New(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), dotEnds(fixed))
		if _, err := io.ReadAll(r); !errors.Is(err, broken) {
			t.Errorf("%q: got %v", in, err)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	big := strings.Repeat("X: "+strings.Repeat("y", 1000)+"\n", message.MaxHeader/1000)
	in := big + "To: a@x\n\nbody\n"
	r := message.New(strings.NewReader(in), fixed)
	if _, err := r.Header(); !errors.Is(err, message.ErrHeaderTooLarge) {
		t.Errorf("got %v", err)
	}
	o := fixed
	o.ExtractRecipients = false
	out, err := io.ReadAll(message.New(strings.NewReader(in), o))
	if err != nil || !bytes.HasSuffix(out, []byte("To: a@x\n\nbody\n")) || bytes.Count(out, []byte("X: ")) != strings.Count(in, "X: ") {
		t.Errorf("%v, %d bytes of %d", err, len(out), len(in))
	}
	head, body := split(t, string(out))
	if !strings.Contains(head, "Message-ID: ") || !strings.HasPrefix(body, "X: ") {
		t.Errorf("header %d, body %d bytes", len(head), len(body))
	}
}

// TestHeaderLimitGiven: beyond a limit of the caller's nothing counts as body.
func TestHeaderLimitGiven(t *testing.T) {
	for _, tt := range []struct {
		header string
		want   error
	}{
		{strings.Repeat("X: "+strings.Repeat("y", 96)+"\n", 90), nil},
		{strings.Repeat("X: "+strings.Repeat("y", 96)+"\n", 110), message.ErrHeaderTooLarge},
		{"X: " + strings.Repeat("y", 20_000) + "\n", message.ErrHeaderTooLarge},
	} {
		_, err := io.ReadAll(message.New(strings.NewReader(tt.header+"\n"+strings.Repeat("body\n", 10_000)), message.Options{MaxHeader: 10_000}))
		if !errors.Is(err, tt.want) {
			t.Errorf("%d bytes: %v, want %v", len(tt.header), err, tt.want)
		}
	}
}

func TestManyRecipients(t *testing.T) {
	var to strings.Builder
	to.WriteString("To: r0")
	for range 9999 {
		to.WriteString(", Some Body <someone>")
	}
	start := time.Now()
	got, h := read(t, to.String()+"\n\n", fixed)
	if len(h.Recipients) != 10000 || strings.Count(got, "<someone@example.org>") != 9999 {
		t.Errorf("%d recipients", len(h.Recipients))
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// Readers that share Buffers must not see each other's text, whatever became of
// the one before.
func TestBuffersAreUsedAgain(t *testing.T) {
	var shared message.Buffers
	long := "Subject: " + strings.Repeat("long ", 8000) + "\n\n" + strings.Repeat("body\n", 5000)
	for i, in := range []string{"Subject: one\n\n1\n", long, "X: 2\n\n2\n", "\n3\n", long, "Subject: 4\n"} {
		want, _ := read(t, in, message.Options{})
		broken := message.New(io.MultiReader(strings.NewReader(in), iotest.ErrReader(io.ErrUnexpectedEOF)), message.Options{Buffers: &shared})
		if _, err := io.ReadAll(broken); err == nil {
			t.Fatalf("message %d: no error", i)
		}
		broken.Close()
		r := message.New(strings.NewReader(in), message.Options{Buffers: &shared})
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || string(got) != want {
			t.Fatalf("message %d: got %.60q, %v; want %.60q", i, got, err, want)
		}
		if _, err := r.Read(make([]byte, 1)); err == nil {
			t.Fatal("a closed reader can be read")
		}
	}
}
