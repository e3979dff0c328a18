package message

import (
	"bytes"
	"io"
)

// OutgoingOptions say what the way out demands.
type OutgoingOptions struct {
	// Traits of the message, as Inspect or Reader.Traits told them. They decide
	// whether parts are re-encoded; wrong ones cost fidelity, never safety.
	Traits Traits
	// SevenBit says that the peer lacks 8BITMIME: bodies with non-ASCII are
	// re-encoded. The header is not changed by it.
	SevenBit bool
}

// Outgoing yields a stored message as SMTP carries it: CRLF line ends, no bare CR
// or LF, no NUL, no line over MaxLine. Most messages stream straight through. Where
// the body has what cannot be sent, parts that have no transfer encoding yet get
// one: quoted-printable for text, base64 for the rest, part by part in multipart
// messages. What may not be re-encoded (RFC 2046 §5.2.1, RFC 1847 §2.1) or already
// is has its long lines folded, and NUL and CR made blanks.
//
// The output depends on nothing but the input, so that a signature over one
// reading holds for the next. It is not dot-stuffed.
func Outgoing(r io.Reader, o OutgoingOptions) io.Reader {
	t := o.Traits
	return &outgoing{
		lines:   newLineReader(r, false),
		in:      make([]byte, 0, bufferSize),
		encode:  t.NUL || t.LongLines || o.SevenBit && t.EightBit,
		options: o,
		top:     true,
	}
}

// bodyMode is how the bytes of the current part are written.
type bodyMode uint8

const (
	inHeader bodyMode = iota
	asIs              // made safe only
	isQP              // is quoted-printable
	isBase64          // is base64
	toQP              // becomes quoted-printable
	toBase64          // becomes base64
)

type outgoing struct {
	lines   *lineReader
	options OutgoingOptions
	// encode says that parts are looked at one by one and re-encoded.
	encode bool

	in       []byte // read and not yet handled
	searched int    // bytes of in known to have no LF
	err      error  // what lines said at its end
	out      []byte // handled and not yet read
	read     int    // bytes of out read already

	mode    bodyMode
	midLine bool // in starts within a line
	fold    folder
	header  []byte // of the current part, collected if encode
	top     bool   // that part is the message itself
	parts   []multipart
	qp      qpEncoder
	base64  base64Encoder
}

// Read implements io.Reader.
func (o *outgoing) Read(p []byte) (int, error) {
	for o.read == len(o.out) {
		o.out, o.read = o.out[:0], 0
		if len(o.in) == 0 && o.err != nil {
			return 0, o.err
		}
		o.step()
	}
	n := copy(p, o.out[o.read:])
	o.read += n
	return n, nil
}

// step reads more, or handles the lines there are.
func (o *outgoing) step() {
	if bytes.IndexByte(o.in[o.searched:], '\n') < 0 && len(o.in) < cap(o.in) && o.err == nil {
		o.searched = len(o.in)
		n, err := o.lines.Read(o.in[len(o.in):cap(o.in)])
		o.in, o.err = o.in[:len(o.in)+n], err
		switch {
		case err == io.EOF: // and all lines are handled
			o.close()
		case err != nil:
			o.in = o.in[:0]
		}
		return
	}
	o.searched = 0
	done := 0
	for done < len(o.in) {
		rest := o.in[done:]
		i := bytes.IndexByte(rest, '\n')
		if i >= 0 {
			o.line(rest[:i], true)
			o.midLine = false
			done += i + 1
			continue
		}
		// A line longer than the buffer is handled in pieces.
		if len(rest) == cap(o.in) {
			done += o.line(rest, false)
			o.midLine = true
		}
		break
	}
	o.in = o.in[:copy(o.in[:cap(o.in)], o.in[done:])]
}

// line handles a line without its end, or with last unset a piece of one, of which
// it may leave a rest. It reports how much it took.
func (o *outgoing) line(line []byte, last bool) int {
	if len(o.parts) > 0 && last && !o.midLine && o.boundary(line) {
		return len(line)
	}
	var n int
	switch o.mode {
	case inHeader:
		return o.headerLine(line, last)
	case toQP:
		o.out, n = o.qp.line(o.out, line, last)
	case toBase64:
		o.out = o.base64.line(o.out, line, last)
		n = len(line)
	default:
		n = o.copyLine(line, last)
	}
	return n
}

// copyLine writes a line of a body that keeps its encoding.
func (o *outgoing) copyLine(line []byte, last bool) int {
	start := len(o.out)
	if last && !o.midLine && len(line) <= MaxLine {
		o.out = append(o.out, line...)
		blankOut(o.out[start:])
		o.out = append(o.out, '\r', '\n')
		return len(line)
	}
	blankOut(line)
	var n int
	switch o.mode {
	case isQP:
		o.out, n = o.fold.quotedPrintable(o.out, line, last)
	case isBase64:
		o.out, n = o.fold.base64(o.out, line, last)
	default:
		o.out, n = o.fold.text(o.out, line, last)
	}
	return n
}

// blankOut makes NULs and CRs blanks.
func blankOut(p []byte) {
	if bytes.IndexByte(p, 0) < 0 && bytes.IndexByte(p, '\r') < 0 {
		return
	}
	for i, c := range p {
		if c == 0 || c == '\r' {
			p[i] = ' '
		}
	}
}

// headerLine writes a line of a header, or collects it until the header's end
// tells what becomes of the part.
func (o *outgoing) headerLine(line []byte, last bool) int {
	blankOut(line)
	if !o.encode {
		return o.plainHeaderLine(line, last)
	}
	blank := last && !o.midLine && len(line) == 0
	if !blank && !o.plausible(line) || len(o.header) > 2*MaxHeader {
		// No header after all: nothing is known of the part.
		o.flushHeader()
		o.mode = asIs
		return o.line(line, last)
	}
	if blank {
		o.decide()
		return 0
	}
	o.header = append(o.header, line...)
	if last {
		o.header = append(o.header, '\n')
	}
	return len(line)
}

func (o *outgoing) plainHeaderLine(line []byte, last bool) int {
	if last && !o.midLine && len(line) == 0 {
		o.out = append(o.out, '\r', '\n')
		o.mode = asIs
		return 0
	}
	var n int
	o.out, n = o.fold.header(o.out, line, last)
	return n
}

// plausible reports whether line can be part of a header.
func (o *outgoing) plausible(line []byte) bool {
	if o.midLine || len(o.header) > 0 && isBlank(line[0]) {
		return true
	}
	_, _, ok := splitName(line)
	return ok
}

// flushHeader writes the collected header.
func (o *outgoing) flushHeader() {
	for line := range bytes.Lines(o.header) {
		o.out, _ = o.fold.header(o.out, bytes.TrimSuffix(line, []byte("\n")), true)
	}
	if o.midLine { // the rest of the line comes with the body
		o.out = append(o.out, ' ')
		o.fold.column = 1
	}
	o.header, o.top = o.header[:0], false
}

// close writes what is left at the end of the message.
func (o *outgoing) close() {
	switch o.mode {
	case inHeader:
		o.flushHeader()
	case toBase64:
		o.out = o.base64.close(o.out, true)
	}
}
