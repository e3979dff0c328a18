package message_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/internal/message"
)

// send runs a stored message through Outgoing, at once and in small pieces, and
// checks what must hold for whatever is sent.
func send(t *testing.T, stored string, sevenBit bool) string {
	t.Helper()
	traits, err := message.Inspect(iotest.HalfReader(strings.NewReader(stored)))
	if err != nil {
		t.Fatal(err)
	}
	return sendAs(t, stored, message.OutgoingOptions{Traits: traits, SevenBit: sevenBit})
}

func sendAs(t *testing.T, stored string, o message.OutgoingOptions) string {
	t.Helper()
	out, err := io.ReadAll(message.Outgoing(strings.NewReader(stored), o))
	if err != nil {
		t.Fatal(err)
	}
	slow, err := io.ReadAll(iotest.OneByteReader(message.Outgoing(iotest.HalfReader(strings.NewReader(stored)), o)))
	if err != nil || !bytes.Equal(out, slow) {
		t.Fatalf("in pieces %.300q, %v; at once %.300q", slow, err, out)
	}
	rest := string(out)
	for rest != "" {
		line, after, ok := strings.Cut(rest, "\r\n")
		if !ok || strings.ContainsAny(line, "\r\n\x00") || len(line) > message.MaxLine {
			t.Fatalf("line of %d bytes, ended %v: %.100q", len(line), ok, line)
		}
		rest = after
	}
	return string(out)
}

func TestOutgoingPlain(t *testing.T) {
	for in, want := range map[string]string{
		"S: s\n\n":                 "S: s\r\n\r\n",
		"S: s\n\na\n\nb\n":         "S: s\r\n\r\na\r\n\r\nb\r\n",
		"S: s\n\n.\n..\nFrom x\n":  "S: s\r\n\r\n.\r\n..\r\nFrom x\r\n",
		"S: s\n\na\rb\n":           "S: s\r\n\r\na b\r\n",
		"S: a\rb\x00c\n\nx\n":      "S: a b c\r\n\r\nx\r\n",
		"S: é\n\né\xe9\n":          "S: é\r\n\r\né\xe9\r\n",
		"S: s\r\n\r\na\r\nb":       "S: s\r\n\r\na\r\nb\r\n",
		"S: s\n\n" + ones(998):     "S: s\r\n\r\n" + ones(998) + "\r\n",
		"S: " + ones(995) + "\n\n": "S: " + ones(995) + "\r\n\r\n",
		"":                         "",
	} {
		if got := send(t, in, false); got != want {
			t.Errorf("%.100q gave %.200q", in, got)
		}
	}
}

func ones(n int) string { return strings.Repeat("1", n) }

func TestOutgoingFoldsHeader(t *testing.T) {
	words := "X: " + strings.Repeat("word ", 60000) + "end"
	for name, field := range map[string]string{
		"words":           words,
		"one word":        "X: " + ones(5000),
		"characters":      "X: " + strings.Repeat("é€", 50000),
		"leading blanks":  "X:" + strings.Repeat(" ", 3000) + "end",
		"trailing blanks": "X: a" + strings.Repeat(" ", 3000),
		"blanks only":     "X:" + strings.Repeat("\t", 200000),
		"word and blanks": "X: " + ones(2000) + strings.Repeat(" ", 2000) + ones(2000),
		"at the limit":    "X: " + ones(995) + " ",
		"blank at limit":  "X: " + ones(995) + " a",
		"continuation":    "X: a\n" + strings.Repeat(" ", 70000) + "b\n c",
		"long buffer":     "X: " + strings.Repeat(ones(900)+" ", 100),
	} {
		t.Run(name, func(t *testing.T) {
			// The encoder's way through the header and the plain one must agree.
			got := send(t, field+"\nY: z\n\nbody\n", false)
			encoded := sendAs(t, field+"\nY: z\n\nbody\n", message.OutgoingOptions{Traits: message.Traits{LongLines: true}})
			head, body, _ := strings.Cut(got, "\r\n\r\n")
			head2, _, _ := strings.Cut(encoded, "\r\n\r\n")
			if body != "body\r\n" || !strings.HasPrefix(head2, head) {
				t.Fatalf("body %.200q,\nheader %.3000q\n or %.3000q", body, head, head2)
			}
			m, err := mail.ReadMessage(strings.NewReader(got))
			if err != nil || m.Header.Get("Y") != "z" {
				t.Fatal(err, m)
			}
			if squeeze(m.Header.Get("X")) != squeeze(strings.TrimPrefix(field, "X:")) {
				t.Errorf("%.200q became %.200q", field, m.Header.Get("X"))
			}
			if name == "words" && strings.Join(strings.Fields(m.Header.Get("X")), " ") != strings.TrimPrefix(words, "X: ") {
				t.Error("words were split")
			}
			if name == "characters" && strings.Contains(strings.ToValidUTF8(strings.ReplaceAll(head, "\r\n ", "|"), "?"), "?") {
				t.Error("a character was split")
			}
		})
	}
}

// squeeze removes all blanks.
func squeeze(s string) string { return strings.Join(strings.Fields(s), "") }

func TestOutgoingReencodesText(t *testing.T) {
	for _, tc := range []struct {
		name, header, body string
		sevenBit           bool
		want               []string // lines of the header
	}{
		{"no MIME", "S: s\n", ones(3000) + "\nx \ny\t\n=\n", false, []string{"MIME-Version: 1.0", "Content-Transfer-Encoding: quoted-printable"}},
		{"NUL and CR", "S: s\n", "a\x00b\rc\n", false, []string{"Content-Transfer-Encoding: quoted-printable"}},
		{"UTF-8", "S: s\n", "café " + ones(1000) + "\n", false, []string{"Content-Type: text/plain; charset=utf-8"}},
		{"unknown charset", "S: s\n", "caf\xe9\n", true, []string{"Content-Type: text/plain; charset=unknown-8bit"}},
		{"typed", "MIME-Version: 1.0\nContent-Type: text/html; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\nS: s\n", "caf\xe9\n", true,
			[]string{"Content-Type: text/html; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable", "S: s"}},
		{"folded encoding", "Content-Transfer-Encoding:\n 7BIT (really)\nContent-Type: TEXT/plain\n", ones(2000) + "\n", false, []string{"Content-Transfer-Encoding: quoted-printable"}},
		{"garbage type", "Content-Type: garbage\nMIME-Version: 1.0\n", ones(2000) + "\n", false, []string{"Content-Transfer-Encoding: quoted-printable"}},
		{"huge line", "S: s\n", strings.Repeat("€ ", 100000) + "\n", false, []string{"Content-Transfer-Encoding: quoted-printable"}},
		{"blanks only", "S: s\n", strings.Repeat(" ", 200000) + "\n", false, []string{"Content-Transfer-Encoding: quoted-printable"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			head, body, _ := strings.Cut(send(t, tc.header+"\n"+tc.body, tc.sevenBit), "\r\n\r\n")
			for _, line := range tc.want {
				if !strings.Contains("\r\n"+head+"\r\n", "\r\n"+line+"\r\n") {
					t.Errorf("no %q in header %q", line, head)
				}
			}
			if n := strings.Count(strings.ToLower(head), "content-transfer-encoding"); n != 1 {
				t.Errorf("%d encodings in %q", n, head)
			}
			for line := range strings.SplitSeq(body, "\r\n") {
				if len(line) > 76 || strings.Trim(line, " \t") != line && strings.HasSuffix(line, " ") {
					t.Fatalf("bad line %q", line)
				}
			}
			plain, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
			if err != nil || strings.ReplaceAll(string(plain), "\r\n", "\n") != tc.body {
				t.Errorf("decodes to %.100q, %v; want %.100q", plain, err, tc.body)
			}
			if again := send(t, strings.ReplaceAll(head+"\r\n\r\n"+body, "\r\n", "\n"), tc.sevenBit); again != head+"\r\n\r\n"+body {
				t.Errorf("encoded twice: %.300q", again)
			}
		})
	}
}

func TestOutgoingReencodesData(t *testing.T) {
	body := "\xff\x00\r" + strings.Repeat("{\"json\": 1}", 500) + "\n\n" + ones(56) + "\nend\n"
	head, sent, _ := strings.Cut(send(t, "Content-Type: application/json\nMIME-Version: 1.0\n\n"+body, false), "\r\n\r\n")
	plain, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(sent, "\r\n", ""))
	if err != nil || string(plain) != body || !strings.Contains(head, "Content-Transfer-Encoding: base64") {
		t.Errorf("header %q decodes to %.100q, %v", head, plain, err)
	}
}

const mixed = `MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="=_b 1"
Content-Transfer-Encoding: 8bit

preamble
--=_b 1
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

LONGé
--=_b 1

no header LONG
--=_b 1
Content-Type: application/octet-stream

LONG
--=_b 1
Content-Type: text/plain
Content-Transfer-Encoding: base64

BASE64
--=_b 1
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Subject: inner
Content-Type: multipart/alternative; boundary=_in=ner_
Content-Transfer-Encoding: binary

--_in=ner_
Content-Type: text/html

<LONGé>
--_in=ner_--
--=_b 1
Content-Type: multipart/signed; boundary=sig

--sig
Content-Type: text/plain

signed LONG
--sig--
--=_b 1--
epilogue
`

func TestOutgoingReencodesParts(t *testing.T) {
	long := ones(2000)
	stored := strings.NewReplacer("LONG", long, "BASE64", strings.Repeat("QUFB", 500)).Replace(mixed)
	got := strings.ReplaceAll(send(t, stored, true), "\r\n", "\n")
	qp := func(s string) string {
		var b strings.Builder
		w := quotedprintable.NewWriter(&b)
		io.WriteString(w, s)
		w.Close()
		return strings.ReplaceAll(b.String(), "\r\n", "\n")
	}
	lines := func(s, sep string, n int) string {
		var b strings.Builder
		for len(s) > n {
			b.WriteString(s[:n] + sep)
			s = s[n:]
		}
		return b.String() + s
	}
	want := mixed
	want = strings.Replace(want, "Encoding: 8bit\n\npreamble", "Encoding: 7bit\n\npreamble", 1)
	want = strings.Replace(want, "Content-Transfer-Encoding: 8bit\n\nLONGé\n", "Content-Transfer-Encoding: quoted-printable\n\n"+qp(long+"é\n"), 1)
	want = strings.Replace(want, "--=_b 1\n\nno header LONG\n", "--=_b 1\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n"+qp("no header "+long+"\n"), 1)
	want = strings.Replace(want, "octet-stream\n\nLONG", "octet-stream\nContent-Transfer-Encoding: base64\n\n"+lines(base64.StdEncoding.EncodeToString([]byte(long)), "\n", 76), 1)
	folded := strings.Repeat("QUFB", 500)
	n := 0
	for len(folded)-n > message.MaxLine {
		n += 76
	}
	want = strings.Replace(want, "BASE64", lines(folded[:n], "\n", 76)+"\n"+folded[n:], 1)
	want = strings.Replace(want, "Encoding: 8bit\n\nSubject: inner", "Encoding: 7bit\n\nSubject: inner", 1)
	want = strings.Replace(want, "Encoding: binary", "Encoding: 7bit", 1)
	want = strings.Replace(want, "text/html\n\n<LONGé>\n", "text/html\nContent-Transfer-Encoding: quoted-printable\n\n"+qp("<"+long+"é>\n"), 1)
	want = strings.Replace(want, "signed LONG", "signed "+ones(998-7)+"\n "+ones(997)+"\n "+ones(2000-991-997), 1)
	if got != want {
		g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d: %q\nwant %q", i+1, g[i], w[i])
			}
		}
		t.Fatalf("%d lines, want %d", len(g), len(w))
	}
}

func TestOutgoingFoldsWhatItMustNotEncode(t *testing.T) {
	for name, tc := range map[string]struct{ stored, want string }{
		"unknown encoding": {"Content-Transfer-Encoding: x-uu\n\n" + ones(1500) + "\n", ones(998) + "\r\n " + ones(502) + "\r\n"},
		"no boundary":      {"Content-Type: multipart/mixed\n\na\x00" + ones(1500) + "\n", "a " + ones(996) + "\r\n " + ones(504) + "\r\n"},
		"report":           {"Content-Type: message/delivery-status\n\n" + ones(1500) + "\n", ones(998) + "\r\n " + ones(502) + "\r\n"},
		"characters":       {"Content-Transfer-Encoding: x\n\n" + ones(997) + "é\n", ones(997) + "\r\n é\r\n"},
		"soft breaks":      {"Content-Transfer-Encoding: Quoted-Printable\n\n" + ones(73) + "=41" + ones(980) + "\n", ones(73) + "=\r\n=41" + ones(980) + "\r\n"},
	} {
		_, body, _ := strings.Cut(send(t, tc.stored, false), "\r\n\r\n")
		if body != tc.want {
			t.Errorf("%s: got %.2000q", name, body)
		}
	}
}

func TestOutgoingWithWrongTraitsIsSafe(t *testing.T) {
	stored := "S: s\n\na\x00b\r" + strings.Repeat("é", 100000) + "\n" + ones(998) + "é\n"
	for _, o := range []message.OutgoingOptions{{}, {SevenBit: true}, {Traits: message.Traits{NUL: true}}} {
		sendAs(t, stored, o)
	}
}

func TestOutgoingSevenBitLeavesASCII(t *testing.T) {
	if got := send(t, "S: é\n\nplain\n", true); got != "S: é\r\n\r\nplain\r\n" {
		t.Errorf("got %q", got)
	}
}

func TestOutgoingReportsErrors(t *testing.T) {
	for _, in := range []string{"", "S: s", "S: s\n\nbody", "S: s\n\n" + ones(70000)} {
		r := message.Outgoing(io.MultiReader(strings.NewReader(in), iotest.ErrReader(io.ErrUnexpectedEOF)), message.OutgoingOptions{})
		if _, err := io.ReadAll(r); err != io.ErrUnexpectedEOF {
			t.Errorf("%.20q: got %v", in, err)
		}
	}
}

func TestInspect(t *testing.T) {
	for in, want := range map[string]message.Traits{
		"S: s\n\nb\n":                          {},
		"S: é\n\nb\n":                          {HeaderEightBit: true},
		"S: s\n\né\n":                          {EightBit: true},
		"S: s\n\nx" + strings.Repeat("é", 490): {EightBit: true},
		"S: s\n\né\xe9\n":                      {EightBit: true, InvalidUTF8: true},
		"S: s\n\nb\x00\n":                      {NUL: true},
		"S: s\n\na\rb\n":                       {BareCR: true},
		"S: s\n\n" + ones(998) + "\n":          {},
		"S: s\n\n" + ones(999) + "\n":          {LongLines: true},
		"S: " + ones(2000) + "\n\nb\n":         {},
		"\n" + ones(500) + "\n" + ones(999):    {LongLines: true},
		"":                                     {},
	} {
		for name, r := range map[string]io.Reader{
			"whole": strings.NewReader(in), "bytes": iotest.OneByteReader(strings.NewReader(in)), "halves": iotest.HalfReader(strings.NewReader(in)),
		} {
			if got, err := message.Inspect(r); err != nil || got != want {
				t.Errorf("%.20q (%s): %+v, %v; want %+v", in, name, got, err, want)
			}
		}
	}
	if _, err := message.Inspect(iotest.ErrReader(io.ErrUnexpectedEOF)); err == nil {
		t.Error("no error")
	}
}

// FuzzPlain compares the short way with the long one.
func FuzzPlain(f *testing.F) {
	for _, s := range []string{"", "\n", "a", "a: b\n\nc\n", "\n\n\n", " x\ny\n", "a\r\n", "a: \x00\n", "a: é\n\né\n.\n..\n"} {
		f.Add(s, uint16(0), uint16(0))
	}
	f.Add("a: b\n", uint16(message.MaxLine), uint16(0))
	f.Add("a: b\n\nc\n", uint16(0), uint16(message.MaxLine+1))
	f.Add("a: b\n\nc\n", uint16(message.MaxLine+1), uint16(message.MaxLine))
	f.Fuzz(func(t *testing.T, s string, before, after uint16) {
		stored := strings.Repeat("x", int(before)%2000) + s + strings.Repeat("y", int(after)%2000)
		if after > 0 {
			stored += "\n"
		}
		wire, ok := message.Plain([]byte(stored))
		if !ok {
			if strings.HasSuffix(stored, "\n") && !strings.ContainsAny(stored, "\r\x00") && len(stored) <= message.MaxLine {
				t.Fatalf("%q is plain", stored)
			}
			return
		}
		traits, err := message.Inspect(strings.NewReader(stored))
		if err != nil {
			t.Fatal(err)
		}
		want, err := io.ReadAll(message.Outgoing(strings.NewReader(stored), message.OutgoingOptions{Traits: traits}))
		if err != nil || string(wire) != string(want) {
			t.Fatalf("%q: got %q, want %q, %v", stored, wire, want, err)
		}
	})
}
