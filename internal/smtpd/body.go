package smtpd

import "bytes"

// ending is what a stretch of a body led to.
type ending uint8

const (
	goesOn ending = iota
	// ended: the line that is a lone dot has been taken.
	ended
	// bareLF: a line feed without carriage return, from a client that may not.
	bareLF
)

// body follows a message sent with DATA, finds its end and undoes dot-stuffing
// (RFC 5321 §4.5.2). What it passes on has LF line ends and, from the network, no CR,
// so that nobody downstream can see the end elsewhere than here:
//
//   - In the strict form, for the network, only CRLF.CRLF ends the body. A CR that
//     is not part of CRLF becomes a space, and a bare LF is not accepted.
//   - The tolerant form, for who has logged in, is as strict about the end, but takes
//     a bare LF for the end of a line, as the scripts that send them mean it. A dot
//     behind one is text.
//   - In the lenient form, for programs of this host, LF ends a line just as CRLF
//     does, and CRs before it are dropped; of another run of CRs one is kept. It
//     becomes a space on the way to another host.
type body struct {
	lenient, tolerant bool
	// midLine: a dot would not be the first of its line. loneDot: it is a single dot so far.
	// cr: a CR came, and what follows will tell what it means.
	midLine, loneDot, cr bool
}

// pass copies from src to dst and reports how much of both was used.
func (b *body) pass(dst, src []byte) (nd, ns int, end ending) {
	for ns < len(src) && nd < len(dst) {
		switch c := src[ns]; {
		case c == '\n' && !b.cr && !b.lenient && !b.tolerant:
			return nd, ns, bareLF
		case c == '\n':
			ns++
			proper := b.cr || b.lenient
			lone := b.loneDot && proper
			b.cr, b.midLine, b.loneDot = false, !proper, false
			if lone {
				return nd, ns, ended
			}
			dst[nd] = '\n'
			nd++
		case c == '\r' && b.cr && b.lenient:
			ns++
		case b.cr: // the CR before this one stands alone
			if dst[nd] = ' '; b.lenient {
				dst[nd] = '\r'
			}
			nd++
			b.cr, b.midLine, b.loneDot = false, true, false
		case c == '\r':
			ns++
			b.cr = true
		case c == '.' && !b.midLine:
			ns++
			b.midLine, b.loneDot = true, true
		default:
			d, s := b.text(dst[nd:], src[ns:])
			nd, ns = nd+d, ns+s
		}
	}
	return nd, ns, goesOn
}

// text copies the rest of a line that ends properly, or what comes before the next
// CR or LF. src starts with neither.
func (b *body) text(dst, src []byte) (nd, ns int) {
	b.loneDot = false
	run := textRun(src)
	n := len(run)
	if b.midLine = n >= len(dst) || len(src) < n+2 || src[n] != '\r' || src[n+1] != '\n'; b.midLine {
		n = copy(dst, run)
		return n, n
	}
	copy(dst, run)
	dst[n] = '\n'
	return n + 1, n + 2
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
