package message_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"postrider/internal/message"
)

var seeds = []string{
	"", "\n", "Subject: s\n\nbody\n", "To: a, b\r\nBcc: c\r\n d\r\n\r\nx\r\n.\r\ny", "From x\n>From y\nFrom: z\n\n", "text\n.\n",
	"Sub\x00ject: a\rb\n\x00\n", " x\n", "Resent-To: a\n\n\r\r\n.\rx\r", "To: \"a\nCc: <b\n", "X : y\n.\n", "From : x\n\n", "B\x00cc: x\n\n",
}

// plainLines is the reading of line ends by the book, to compare with.
func plainLines(in string, dotEnds bool) (lines []string) {
	for in != "" {
		line, rest, _ := strings.Cut(in, "\n")
		line = strings.TrimRight(line, "\r")
		if dotEnds && line == "." {
			break
		}
		lines = append(lines, line)
		in = rest
	}
	return lines
}

func FuzzMessage(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, "Alice", true, true)
		f.Add(s, "A\nB: c", false, false)
	}
	f.Fuzz(func(t *testing.T, in, name string, fixup, dotEnds bool) {
		o := fixed
		o.Fixup, o.DotEnds, o.FullName = fixup, dotEnds, name
		out, h := read(t, in, o)
		header, body := split(t, out)

		if want := strings.Join(plainLines(in, dotEnds), "\n") + "\n"; !strings.HasSuffix("\n"+want, "\n"+body) {
			t.Fatalf("body %q does not end the input %q", body, want)
		}
		if body != "" && !strings.HasSuffix(body, "\n") || strings.Contains(out, "\r\n") {
			t.Fatalf("line ends in %q", out)
		}
		if strings.ContainsAny(header, "\r\x00") {
			t.Fatalf("control characters in header %q", header)
		}
		checkFields(t, header, fixup, h.Resent)

		o.DotEnds = false
		again, _ := read(t, out, o)
		if again != out {
			t.Fatalf("%q fixed to %q, then to %q", in, out, again)
		}
	})
}

func checkFields(t *testing.T, header string, fixup, resent bool) {
	t.Helper()
	count := make(map[string]int)
	for i, line := range strings.Split(strings.TrimSuffix(header, "\n"), "\n") {
		if header == "" || i > 0 && strings.HasPrefix(line, " ") || i > 0 && strings.HasPrefix(line, "\t") {
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(strings.TrimRight(name, " \t"), " \t") {
			t.Fatalf("line %q is no field", line)
		}
		count[strings.ToLower(strings.TrimRight(name, " \t"))]++
	}
	for _, name := range []string{"bcc", "resent-bcc", "return-path", "content-length"} {
		if count[name] > 0 {
			t.Fatalf("%s in %q", name, header)
		}
	}
	prefix := ""
	if resent {
		prefix = "resent-"
	}
	for _, name := range []string{"date", "from", "message-id"} {
		if fixup && count[prefix+name] == 0 {
			t.Fatalf("no %s in %q", prefix+name, header)
		}
	}
}

// A name can put nothing into the header but one From field.
func FuzzFullName(f *testing.F) {
	for _, s := range []string{"A\nB: c", "\"", "\\", "é,", "\xff", "a\u0085b", "=?x?="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		o := fixed
		o.FullName = name
		out, h := read(t, "", o)
		if strings.Count(out, "\n") != 4 || len(h.From) != 1 || h.From[0] != alice || h.EightBit {
			t.Fatalf("%q gave %q", name, out)
		}
		if second, h := read(t, out, o); second != out || len(h.From) != 1 || h.From[0] != alice {
			t.Fatalf("%q gave %q, read as %v", name, out, h.From)
		}
	})
}

func FuzzOutgoing(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, false)
	}
	f.Add(strings.ReplaceAll(mixed, "LONG", ones(1200)), true)
	f.Add("Content-Type: multipart/mixed; boundary=b\n\n--b\n\n"+ones(1000)+"é\n--b--\n", true)
	f.Add("Content-Type: message/rfc822\n\nX: "+ones(1000)+"\n\n\x00", false)
	f.Fuzz(func(t *testing.T, in string, sevenBit bool) {
		send(t, in, sevenBit)
		stored, _ := read(t, in, fixed)
		out := send(t, stored, sevenBit)
		traits, err := message.Inspect(strings.NewReader(stored))
		if err != nil {
			t.Fatal(err)
		}
		if traits == (message.Traits{}) {
			_, body := split(t, stored)
			if !strings.HasSuffix(out, "\r\n\r\n"+strings.ReplaceAll(body, "\n", "\r\n")) {
				t.Fatalf("%q was sent as %q", stored, out)
			}
		}
	})
}

func body(size int) []byte {
	return append([]byte("From: a@x\nTo: b@x\nDate: d\nMessage-ID: i\nSubject: s\n\n"),
		bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, again and again.\n"), size/62)...)
}

func benchmark(b *testing.B, msg []byte, wrap func(io.Reader) io.Reader) {
	b.SetBytes(int64(len(msg)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{wrap(bytes.NewReader(msg))}, make([]byte, 32<<10)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReader(b *testing.B) {
	big, crlf := body(16<<20), bytes.ReplaceAll(body(16<<20), []byte("\n"), []byte("\r\n"))
	b.Run("LF", func(b *testing.B) {
		benchmark(b, big, func(r io.Reader) io.Reader { return message.New(r, fixed) })
	})
	b.Run("LF dot", func(b *testing.B) {
		benchmark(b, big, func(r io.Reader) io.Reader { return message.New(r, dotEnds(fixed)) })
	})
	b.Run("CRLF", func(b *testing.B) {
		benchmark(b, crlf, func(r io.Reader) io.Reader { return message.New(r, dotEnds(fixed)) })
	})
	b.Run("small", func(b *testing.B) {
		benchmark(b, body(2000), func(r io.Reader) io.Reader { return message.New(r, fixed) })
	})
}

func BenchmarkOutgoing(b *testing.B) {
	big := body(16 << 20)
	b.Run("plain", func(b *testing.B) {
		benchmark(b, big, func(r io.Reader) io.Reader { return message.Outgoing(r, message.OutgoingOptions{}) })
	})
	b.Run("quoted-printable", func(b *testing.B) {
		o := message.OutgoingOptions{Traits: message.Traits{LongLines: true}}
		benchmark(b, big, func(r io.Reader) io.Reader { return message.Outgoing(r, o) })
	})
}

func BenchmarkInspect(b *testing.B) {
	big := body(16 << 20)
	b.SetBytes(int64(len(big)))
	for b.Loop() {
		if _, err := message.Inspect(bytes.NewReader(big)); err != nil {
			b.Fatal(err)
		}
	}
}
