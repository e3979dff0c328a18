package message

import (
	"bytes"
	"encoding/base64"
)

// encodedLine is the longest line both encodings allow (RFC 2045 §6.7, §6.8).
const encodedLine = 76

// qpEncoder writes text in quoted-printable.
type qpEncoder struct{ column int }

// line appends a line with its end, or with last unset a piece of a line, of which
// it leaves blanks at the end for later: they need encoding only before a line end.
func (q *qpEncoder) line(out, text []byte, last bool) ([]byte, int) {
	n := len(bytes.TrimRight(text, " \t"))
	if last || n == 0 {
		n = len(text)
	}
	for i, c := range text[:n] {
		plain := c > ' ' && c < 0x7f && c != '=' || isBlank(c) && i < n-1
		out = q.put(out, c, plain)
	}
	if last {
		out = append(out, "\r\n"...)
		q.column = 0
	}
	return out, n
}

func (q *qpEncoder) put(out []byte, c byte, plain bool) []byte {
	const digits = "0123456789ABCDEF"
	width := 1
	if !plain {
		width = 3
	}
	if q.column+width > encodedLine-1 {
		out = append(out, "=\r\n"...)
		q.column = 0
	}
	q.column += width
	if plain {
		return append(out, c)
	}
	return append(out, '=', digits[c>>4], digits[c&15])
}

// base64Encoder writes a part's bytes, LFs included, in base64.
type base64Encoder struct {
	pending []byte // less than one line's worth
	// newline holds back a line end: the one before a boundary is not the part's.
	newline bool
}

const lineBytes = encodedLine / 4 * 3

func (b *base64Encoder) line(out, text []byte, last bool) []byte {
	if b.newline {
		b.pending = append(b.pending, '\n')
	}
	b.newline = last
	if n := lineBytes - len(b.pending); len(text) >= n {
		b.pending = append(b.pending, text[:max(n, 0)]...)
		text = text[max(n, 0):]
		out = b.flush(out)
	}
	for len(text) >= lineBytes {
		out = append(base64.StdEncoding.AppendEncode(out, text[:lineBytes]), "\r\n"...)
		text = text[lineBytes:]
	}
	b.pending = append(b.pending, text...)
	return out
}

// close ends the part; whole says that its last line end belongs to it.
func (b *base64Encoder) close(out []byte, whole bool) []byte {
	if b.newline && whole {
		b.pending = append(b.pending, '\n')
	}
	b.newline = false
	return b.flush(out)
}

func (b *base64Encoder) flush(out []byte) []byte {
	if len(b.pending) > 0 {
		out = append(base64.StdEncoding.AppendEncode(out, b.pending), "\r\n"...)
		b.pending = b.pending[:0]
	}
	return out
}
