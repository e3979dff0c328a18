package smtpd

import (
	"bytes"
	"strings"
	"testing"
)

// passAll runs a body through in pieces of the given size and gives what came out,
// what was left over, and how it ended.
func passAll(b body, in string, piece int) (out, rest string, end ending) {
	dst := make([]byte, 7)
	var got bytes.Buffer
	for len(in) > 0 && end == goesOn {
		chunk := []byte(in[:min(piece, len(in))])
		nd, ns, e := b.pass(dst, chunk)
		got.Write(dst[:nd])
		in, end = in[ns:], e
	}
	return got.String(), in, end
}

func TestBody(t *testing.T) {
	tests := []struct {
		name      string
		lenient   bool
		in        string
		out, rest string
		end       ending
	}{
		{"plain", false, "a\r\nb\r\n.\r\nNOOP\r\n", "a\nb\n", "NOOP\r\n", ended},
		{"empty", false, ".\r\nNOOP\r\n", "", "NOOP\r\n", ended},
		{"stuffed", false, "..\r\n.x\r\n...\r\n.\r\n", ".\nx\n..\n", "", ended},
		{"dots within lines", false, "a.\r\nb..c\r\n.\r\n", "a.\nb..c\n", "", ended},
		{"stray CR before the end", false, "a\r\r\n.\r\n", "a \n", "", ended},
		{"stray CR in line", false, "a\rb\r\n.\r\n", "a b\n", "", ended},
		{"dot CR CR LF is no end", false, "a\r\n.\r\r\n", "a\n \n", "", goesOn},
		{"bare LF", false, "a\nb", "a", "\nb", bareLF},
		{"dot and bare LF", false, "a\r\n.\n", "a\n", "\n", bareLF},
		{"blank dot", false, " .\r\n", " .\n", "", goesOn},
		{"NUL dot", false, "\x00.\r\n.\x00\r\n", "\x00.\n\x00\n", "", goesOn},
		{"LF lines", true, "a\nb\n.\nNOOP\n", "a\nb\n", "NOOP\n", ended},
		{"mixed lines", true, "a\r\nb\n.\r\n", "a\nb\n", "", ended},
		{"run of CR", true, "a\r\r\r\nb\r\rc\n.\n", "a\nb\rc\n", "", ended},
		{"two dots", true, "..\n.\n", ".\n", "", ended},
	}
	for _, tt := range tests {
		for piece := 1; piece <= len(tt.in); piece++ {
			out, rest, end := passAll(body{lenient: tt.lenient}, tt.in, piece)
			if out != tt.out || rest != tt.rest || end != tt.end {
				t.Errorf("%s in pieces of %d: got %q, %q, %v; want %q, %q, %v", tt.name, piece, out, rest, end, tt.out, tt.rest, tt.end)
			}
		}
	}
}

// FuzzBody compares the strict form with its definition.
func FuzzBody(f *testing.F) {
	for _, s := range []string{"a\r\n.\r\n", ".\r\n", "\r\r\n.\r\nx", "a\nb", "\r\n.\r\r\n.\r\n", "\x00.\r\n"} {
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, in string, piece uint8) {
		out, rest, end := passAll(body{}, in, int(piece)+1)
		wire := "\r\n" + in
		mark := strings.Index(wire, "\r\n.\r\n")
		text := in
		if mark >= 0 {
			text = wire[2 : mark+2]
		}
		if bad := strings.Index(strings.ReplaceAll(text, "\r\n", "XX"), "\n"); bad >= 0 {
			if end != bareLF {
				t.Fatalf("%q: bare LF not seen", in)
			}
			return
		}
		if mark < 0 {
			if end != goesOn {
				t.Fatalf("%q: ended as %v without CRLF.CRLF", in, end)
			}
			return
		}
		want := strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", " ")
		want = strings.ReplaceAll("\n"+want, "\n.", "\n")[1:]
		if end != ended || out != want || rest != wire[mark+5:] {
			t.Fatalf("%q: got %q, %q, %v; want %q, %q", in, out, rest, end, want, wire[mark+5:])
		}
	})
}

// FuzzTolerantBody compares the tolerant form with its definition: the end is where
// the strict form has it, whatever stands before.
func FuzzTolerantBody(f *testing.F) {
	for _, s := range []string{"a\nb\r\n.\r\n", "\n.\r\n.\r\nx", "\n.\n\r\n.\n.\r\n", "\r\n.\n..\r\n..\r\n.\r\n", "\r\n.\r\r\n.\r\n", "..\n..\r\r\n.\r\n"} {
		f.Add(s, uint8(0))
		f.Add(s, uint8(3))
	}
	f.Fuzz(func(t *testing.T, in string, piece uint8) {
		out, rest, end := passAll(body{tolerant: true}, in, int(piece)+1)
		wire := "\r\n" + in
		mark := strings.Index(wire, "\r\n.\r\n")
		if mark < 0 {
			if end != goesOn {
				t.Fatalf("%q: ended as %v without CRLF.CRLF", in, end)
			}
			return
		}
		want := strings.ReplaceAll(wire[:mark+2], "\r\n.", "\r\n")[2:]
		want = strings.ReplaceAll(strings.ReplaceAll(want, "\r\n", "\n"), "\r", " ")
		if end != ended || out != want || rest != wire[mark+5:] {
			t.Fatalf("%q: got %q, %q, %v; want %q, %q", in, out, rest, end, want, wire[mark+5:])
		}
	})
}

func TestParseSubmitLiteral(t *testing.T) {
	tests := []struct {
		hello, id string
		ok        bool
	}{
		{"[submit:abcd1234]", "abcd1234", true},
		{"[submit:abcd1234;raw]", "abcd1234", true},
		{"[submit:" + strings.Repeat("Z", 64) + "]", strings.Repeat("Z", 64), true},
		{"[submit:" + strings.Repeat("Z", 65) + "]", "", false},
		{"[submit:abcd123]", "", false},
		{"[submit:abcd-1234]", "", false},
		{"[submit:abcd1234", "", false},
		{"[submit:abcd1234;raw;raw]", "", false},
		{"submit:abcd1234", "", false},
		{"[127.0.0.1]", "", false},
		{"", "", false},
	}
	for _, tt := range tests {
		if id, ok := parseSubmitLiteral(tt.hello); id != tt.id || ok != tt.ok {
			t.Errorf("%q: got %q, %v; want %q, %v", tt.hello, id, ok, tt.id, tt.ok)
		}
	}
}

func FuzzParseSubmitLiteral(f *testing.F) {
	f.Add("[submit:abcd1234]")
	f.Add("[submit:abcd1234;raw]")
	f.Fuzz(func(t *testing.T, s string) {
		id, ok := parseSubmitLiteral(s)
		if ok && s != "[submit:"+id+"]" && s != "[submit:"+id+";raw]" {
			t.Fatalf("%q read as %q", s, id)
		}
		if ok && (len(id) < 8 || len(id) > 64) {
			t.Fatalf("%q: ID of %d bytes", s, len(id))
		}
	})
}
