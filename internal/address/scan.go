package address

import "strings"

type kind uint8

// The kinds of token. Dots belong to atoms: nothing here depends on where they are.
const (
	atom    kind = iota
	quoted       // with its quotes
	comment      // with its parentheses
	literal      // with its brackets; only after an at
	space
	at
	comma
	semicolon
	colon
	open
	closing
	broken // quote or comment that never ends: the rest of the text
)

// token is s[start:end] of the scanned text.
type token struct {
	kind       kind
	start, end int
}

func (t token) startsWithDot(s string) bool { return t.kind == atom && s[t.start] == '.' }

func (t token) endsWithDot(s string) bool { return t.kind == atom && s[t.end-1] == '.' }

// scanner splits the value of an address field into tokens (RFC 5322 §3.2), in
// one pass and without looking back.
type scanner struct {
	s   string
	pos int
	// afterAt makes a bracket start a literal; in a phrase it is plain text.
	afterAt bool
}

var specials = [256]kind{
	' ': space, '\t': space, '\n': space, '\r': space,
	'"': quoted, '(': comment, '@': at, ',': comma, ';': semicolon, ':': colon, '<': open, '>': closing,
}

// next yields the next token; false at the end of the text.
func (sc *scanner) next() (token, bool) {
	if sc.pos >= len(sc.s) {
		return token{}, false
	}
	t := token{start: sc.pos}
	t.kind = specials[sc.s[sc.pos]]
	switch t.kind {
	case space:
		sc.skip(func(c byte) bool { return specials[c] == space })
	case quoted:
		t.kind = sc.quotedString()
	case comment:
		t.kind = sc.comment()
	case atom:
		t.kind = sc.atom()
	default:
		sc.pos++
	}
	t.end = sc.pos
	if t.kind != space && t.kind != comment {
		sc.afterAt = t.kind == at
	}
	return t, true
}

func (sc *scanner) skip(member func(byte) bool) {
	for sc.pos < len(sc.s) && member(sc.s[sc.pos]) {
		sc.pos++
	}
}

// atom takes everything up to the next special character. A backslash takes the
// character after it along, as RFC 822 allowed outside quotes.
func (sc *scanner) atom() kind {
	if sc.afterAt && sc.s[sc.pos] == '[' {
		if n := strings.IndexByte(sc.s[sc.pos:min(len(sc.s), sc.pos+maxLiteral)], ']'); n >= 0 {
			sc.pos += n + 1
			return literal
		}
	}
	for sc.pos < len(sc.s) && specials[sc.s[sc.pos]] == atom {
		if sc.s[sc.pos] == '\\' && sc.pos+1 < len(sc.s) {
			sc.pos++
		}
		sc.pos++
	}
	return atom
}

func (sc *scanner) quotedString() kind {
	for i := sc.pos + 1; i < len(sc.s); i++ {
		switch sc.s[i] {
		case '\\':
			i++
		case '"':
			sc.pos = i + 1
			return quoted
		}
	}
	sc.pos = len(sc.s)
	return broken
}

// comment takes a comment. One that is not closed goes on to the end of the text;
// where that holds an at, there may be addresses in it, and it is broken.
func (sc *scanner) comment() kind {
	start, depth := sc.pos, 0
	for i := sc.pos; i < len(sc.s); i++ {
		switch sc.s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				sc.pos = i + 1
				return comment
			}
		}
	}
	sc.pos = len(sc.s)
	if strings.IndexByte(sc.s[start:], '@') < 0 {
		return comment
	}
	return broken
}

// unescape removes the backslashes of quoted pairs.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
