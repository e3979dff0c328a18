package smtp

import (
	"strings"
	"unicode/utf8"
)

// Reply is what a host said, or our own words in the same form.
type Reply struct {
	// Code of the reply. In a RecipientResult it agrees with Status: 452 where 552
	// counts as such (RFC 5321 §4.5.3.1.10), and zero where we judge otherwise
	// than the host did or nobody gave a code.
	Code int
	// Status is the enhanced status code (RFC 3463): the host's if its class
	// matches, else x.0.0 or our own. Its class is the verdict: ask Positive,
	// Temporary and Permanent rather than Code, which may be zero.
	Status string
	// Text is the whole reply verbatim, codes included, lines parted by \n;
	// control characters and broken UTF-8 are replaced by question marks.
	Text string
	// Remote says that these are the host's words, not ours.
	Remote bool
}

// Positive reports whether the reply grants what was asked.
func (r Reply) Positive() bool { return r.class() == '2' }

// Temporary reports whether the same may be granted later.
func (r Reply) Temporary() bool { return r.class() == '4' }

// Permanent reports whether it never will.
func (r Reply) Permanent() bool { return r.class() == '5' }

func (r Reply) class() byte {
	if r.Status == "" {
		return 0
	}
	return r.Status[0]
}

func (r Reply) oneLine() string { return strings.ReplaceAll(r.Text, "\n", " ") }

// ours makes a reply in our own words.
func ours(status, text string) Reply {
	return Reply{Status: status, Text: text}
}

// said is a reply as the peer gave it; lines is valid until the next command.
type said struct {
	code  int
	lines []byte
}

func (s said) class() int { return s.code / 100 }

// reply makes a lasting Reply of it.
func (s said) reply() Reply {
	text := printable(s.lines)
	return Reply{Code: s.code, Status: enhancedStatus(s.code, text), Text: text, Remote: true}
}

// enhancedStatus takes the enhanced code of the first line if its class is the
// reply's (RFC 2034 §4), else the general one of that class.
func enhancedStatus(code int, text string) string {
	line, _, _ := strings.Cut(text, "\n")
	class := byte('0' + code/100)
	if len(line) > 4 {
		word, _, _ := strings.Cut(line[4:], " ")
		if isStatus(word) && word[0] == class {
			return word
		}
	}
	return string(class) + ".0.0"
}

// isStatus follows the grammar of RFC 3463 §2.
func isStatus(s string) bool {
	class, rest, ok := strings.Cut(s, ".")
	subject, detail, ok2 := strings.Cut(rest, ".")
	return ok && ok2 && (class == "2" || class == "4" || class == "5") && isNumber3(subject) && isNumber3(detail)
}

func isNumber3(s string) bool {
	if s == "" || len(s) > 3 {
		return false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// printable makes text of what a peer sent: it ends up in logs and on terminals.
func printable(raw []byte) string {
	var b strings.Builder
	b.Grow(len(raw))
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw)
		switch {
		case r == utf8.RuneError && n == 1, r < ' ' && r != '\n' && r != '\t', r >= 0x7f && r < 0xa0:
			b.WriteByte('?')
		default:
			b.Write(raw[:n])
		}
		raw = raw[n:]
	}
	return b.String()
}
