package dsn

import (
	"strings"
	"unicode/utf8"
)

const (
	foldWidth = 78  // preferred line length, RFC 5322 §2.1.1
	wordLimit = 900 // a longer word is broken: lines must not exceed 998 bytes
	// Bounds of what is repeated of one reply.
	replyLines = 50
	replyBytes = 8 << 10
)

// fields writes header fields whose values may be anything.
type fields struct {
	b    strings.Builder
	utf8 bool // values may hold UTF-8
}

// add writes one field, folded. Line ends in the value become folds.
func (f *fields) add(name, value string) {
	f.b.WriteString(name)
	f.b.WriteByte(':')
	column := len(name) + 1
	for i, line := range f.lines(value) {
		for j, word := range words(line) {
			fits := column+1+len(word) <= foldWidth
			if i+j > 0 && (j == 0 || !fits) {
				f.b.WriteByte('\n')
				column = 0
			}
			f.b.WriteByte(' ')
			f.b.WriteString(word)
			column += 1 + len(word)
		}
	}
	f.b.WriteByte('\n')
}

// lines splits a value into its clean lines that are not empty.
func (f *fields) lines(value string) []string { return cleanLines(value, f.utf8) }

// end finishes a block of fields.
func (f *fields) end() { f.b.WriteByte('\n') }

func (f *fields) String() string { return f.b.String() }

// words splits a line at white space, and words that no line could hold.
func words(line string) []string {
	var out []string
	for word := range strings.FieldsSeq(line) {
		for len(word) > wordLimit {
			cut := wordLimit
			for cut > wordLimit-utf8.UTFMax && !utf8.RuneStart(word[cut]) {
				cut--
			}
			out = append(out, word[:cut])
			word = word[cut:]
		}
		out = append(out, word)
	}
	return out
}

// cleanLines makes a stranger's text fit to be repeated: its lines, bounded in
// number and size, without those that are empty.
func cleanLines(s string, utf8ok bool) []string {
	cut := len(s) > replyBytes
	if cut {
		s = s[:replyBytes]
	}
	var out []string
	for line := range strings.SplitSeq(s, "\n") {
		if line = strings.TrimSpace(clean(line, utf8ok)); line == "" {
			continue
		}
		if len(out) == replyLines {
			cut = true
			break
		}
		out = append(out, line)
	}
	if cut {
		out = append(out, "[...]")
	}
	return out
}

// clean makes one line of a text: what could end a line, for any parser, or
// turn the direction of writing goes; so does what cannot be shown in the report's charset.
func clean(s string, utf8ok bool) string {
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			return ' '
		case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x2028 && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return '?'
		case r > 0x7f && !utf8ok:
			return '?'
		}
		return r
	}, s)
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
