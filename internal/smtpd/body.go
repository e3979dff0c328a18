package smtpd

import "bytes"

// ending is what a stretch of a body led to.
type ending uint8

const (
	goesOn ending = iota
	// ended: the line that is a lone dot has been passed on.
	ended
	// bareLF: a line feed without carriage return, from a client that may not.
	bareLF
)

// body follows a message sent with DATA and finds its end. What it passes on has
// no line ends but CRLF, and no other CR or LF, so that nobody downstream can see
// the end elsewhere than here:
//
//   - In the strict form, for the network, only CRLF.CRLF ends the body. A CR that
//     is not part of CRLF becomes a space, and a bare LF is not accepted.
//   - In the lenient form, for programs of this host, LF ends a line just as CRLF
//     does, and CRs before it are dropped; other runs of CR become a space.
//
// Dot-stuffing is left as it is.
type body struct {
	lenient bool
	// midLine: the current line is not empty. loneDot: it is a single dot so far.
	// cr: a CR came, and what follows will tell what it means.
	midLine, loneDot, cr bool
}

// pass copies from src to dst, which must have room for at least three bytes, and
// reports how much of both was used.
func (b *body) pass(dst, src []byte) (nd, ns int, end ending) {
	for ns < len(src) && nd+3 <= len(dst) {
		switch c := src[ns]; {
		case c == '\n' && !b.cr && !b.lenient:
			return nd, ns, bareLF
		case c == '\n':
			ns++
			nd += copy(dst[nd:], "\r\n")
			lone := b.loneDot
			b.cr, b.midLine, b.loneDot = false, false, false
			if lone {
				return nd, ns, ended
			}
		case c == '\r' && b.cr && b.lenient:
			ns++
		case b.cr: // the CR before this one stands alone
			dst[nd] = ' '
			nd++
			b.cr, b.midLine, b.loneDot = false, true, false
		case c == '\r':
			ns++
			b.cr = true
		default:
			n := copy(dst[nd:], textRun(src[ns:]))
			b.loneDot = !b.midLine && n == 1 && c == '.'
			b.midLine = true
			nd, ns = nd+n, ns+n
		}
	}
	return nd, ns, goesOn
}

// textRun is what comes before the next CR or LF.
func textRun(s []byte) []byte {
	if i := bytes.IndexByte(s, '\n'); i >= 0 {
		s = s[:i]
	}
	if i := bytes.IndexByte(s, '\r'); i >= 0 {
		s = s[:i]
	}
	return s
}
