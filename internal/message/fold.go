package message

import (
	"bytes"
	"unicode/utf8"
)

// folder breaks lines over MaxLine. Its methods append a line with its CRLF to out.
// A line may come in pieces: with last unset they take what is certain and report
// how much, and the rest must come again before what follows it.
type folder struct {
	// column where the next output goes: not zero only after a break that put a
	// blank there.
	column int
	// broken says that a header line was ended and its continuation, should there
	// be one, comes next.
	broken bool
}

// text folds where the limit is, between characters; the continuation starts with
// a blank, so that it cannot be taken for a delimiter or a mailbox's postmark.
func (f *folder) text(out, line []byte, last bool) ([]byte, int) {
	rest := line
	for f.column+len(rest) > MaxLine {
		n := characterCut(rest, MaxLine-f.column)
		out = append(append(out, rest[:n]...), "\r\n "...)
		rest = rest[n:]
		f.column = 1
	}
	return f.end(out, rest, len(line), last)
}

// base64 folds anywhere: line ends mean nothing there (RFC 2045 §6.8).
func (f *folder) base64(out, line []byte, last bool) ([]byte, int) {
	rest := line
	for len(rest) > MaxLine {
		out = append(append(out, rest[:76]...), "\r\n"...)
		rest = rest[76:]
	}
	return f.end(out, rest, len(line), last)
}

// quotedPrintable folds with soft line breaks (RFC 2045 §6.7), not within =XX.
func (f *folder) quotedPrintable(out, line []byte, last bool) ([]byte, int) {
	rest := line
	for len(rest) > MaxLine {
		n := 75
		if i := bytes.IndexByte(rest[n-2:n], '='); i >= 0 {
			n += i - 2
		}
		out = append(append(out, rest[:n]...), "=\r\n"...)
		rest = rest[n:]
	}
	return f.end(out, rest, len(line), last)
}

func (f *folder) end(out, rest []byte, size int, last bool) ([]byte, int) {
	if !last {
		return out, size - len(rest)
	}
	f.column = 0
	return append(append(out, rest...), "\r\n"...), size
}

// header folds at white space where there is some (RFC 5322 §2.2.3), else between
// characters. No line it makes is blank.
func (f *folder) header(out, line []byte, last bool) ([]byte, int) {
	rest := line
	for f.column+len(rest) > MaxLine {
		limit := MaxLine - f.column
		blank := bytes.LastIndexAny(rest[:limit+1], " \t")
		word := blank
		for word > 0 && isBlank(rest[word-1]) {
			word--
		}
		switch {
		case word > 0: // ends a word
			out = f.piece(out, rest[:word], false)
			rest = rest[word:]
			f.column = 0
		case blank > 0: // blanks only, of which one is enough
			rest = rest[blank:]
		default:
			n := characterCut(rest, limit)
			out = f.piece(out, rest[:n], true)
			rest = rest[n:]
		}
	}
	if !last {
		return out, len(line) - len(rest)
	}
	if !f.broken || len(bytes.Trim(rest, " \t")) > 0 {
		out = f.piece(out, rest, false)
	}
	f.column, f.broken = 0, false
	return append(out, "\r\n"...), len(line)
}

// piece writes one line of a folded field; the break before it was held back
// until it was certain that something follows. hard says that the next piece does
// not bring the blank it needs.
func (f *folder) piece(out, text []byte, hard bool) []byte {
	if f.broken {
		out = append(out, "\r\n"...)
		if f.column > 0 {
			out = append(out, ' ')
		}
	}
	f.broken = true
	f.column = 0
	if hard {
		f.column = 1
	}
	return append(out, text...)
}

// characterCut finds where text can be cut so that at most limit bytes stay and no
// UTF-8 character is split.
func characterCut(text []byte, limit int) int {
	for n := limit; n > 0 && n > limit-utf8.UTFMax; n-- {
		if utf8.RuneStart(text[n]) {
			return n
		}
	}
	return limit
}
