package smtp

import (
	"bytes"
	"io"
)

// wholeSize is the greatest message that is sent in one write if it is given as a
// whole, as in-memory readers do.
const wholeSize = 256 << 10

// content sends the message with its final dot and waits for the reply to that. The
// Phase is PhaseBody for what happens before the system has taken the dot, for the
// host cannot have it then.
func (w *wire) content(body io.Reader, beforeDot func()) (said, Phase, error) {
	w.begin(PhaseBody)
	w.stuffer = stuffer{wire: w}
	if err := w.copy(body); err != nil {
		r, err := w.answer(err)
		return r, PhaseBody, err
	}
	w.begin(PhaseFinal)
	beforeDot()
	if w.ctx.Err() != nil {
		// Told to stop just before: with the dot unsaid the host cannot have the
		// message, and it will not get it twice.
		return said{}, PhaseBody, w.fail(w.ctx.Err())
	}
	w.out = w.stuffer.end(w.out)
	r, err := w.answer(w.exchange())
	w.shrink()
	if !w.flushed {
		return r, PhaseBody, err
	}
	return r, PhaseFinal, err
}

// copy has readers that hold the message in memory give it in one piece; others go
// through a buffer that is kept with the connection.
func (w *wire) copy(body io.Reader) error {
	if _, ok := body.(io.WriterTo); !ok && w.block == nil {
		w.block = make([]byte, blockSize)
	}
	_, err := io.CopyBuffer(&w.stuffer, body, w.block)
	return err
}

// grow makes room for a message that is sent in one write.
func (w *wire) grow() {
	if cap(w.out) > 2*blockSize {
		return
	}
	if big, ok := w.whole.Get().(*[]byte); ok {
		w.out = append((*big)[:0], w.out...)
		return
	}
	const dots = 4 << 10 // as many as most messages have
	w.out = append(make([]byte, 0, wholeSize+dots), w.out...)
}

// shrink gives that room back: few messages need it, and many connections are kept.
func (w *wire) shrink() {
	if cap(w.out) <= 2*blockSize || len(w.out) > 0 {
		return
	}
	big := w.out
	w.whole.Put(&big)
	w.out = nil
}

// stuffer writes content to the wire with dots doubled at the beginning of lines
// (RFC 5321 §4.5.2). It ends lines with CRLF that are not.
type stuffer struct {
	wire *wire
	// state is what the content so far ends in.
	state lineState
}

type lineState uint8

const (
	lineStart lineState = iota // the content has not begun
	lineBegun                  // CRLF
	lineWithin
	lineCR
)

// Write implements io.Writer.
func (s *stuffer) Write(p []byte) (int, error) {
	most := wholeSize
	if len(p) > wholeSize {
		most = blockSize
	}
	for rest := p; len(rest) > 0; {
		part := rest[:min(len(rest), most)]
		rest = rest[len(part):]
		if n := len(s.wire.out); n > 0 && n+len(part) > blockSize {
			if err := s.wire.sendBlock(); err != nil {
				return 0, err
			}
		}
		if len(part) > blockSize {
			s.wire.grow()
		}
		s.wire.out = s.stuff(s.wire.out, part)
	}
	return len(p), nil
}

// stuff appends a part of the content as it goes out.
func (s *stuffer) stuff(b, p []byte) []byte {
	for len(p) > 0 {
		if p[0] == '.' && s.state <= lineBegun {
			b = append(b, '.')
		}
		n := bytes.IndexByte(p, '\n')
		if n < 0 {
			s.state = lineWithin
			if p[len(p)-1] == '\r' {
				s.state = lineCR
			}
			return append(b, p...)
		}
		if n > 0 && p[n-1] == '\r' || n == 0 && s.state == lineCR {
			b = append(b, p[:n+1]...)
		} else {
			b = append(append(b, p[:n]...), '\r', '\n')
		}
		p, s.state = p[n+1:], lineBegun
	}
	return b
}

// end appends what ends the content. What is empty, or ends within a line, is given
// the line end that must come before the dot.
func (s *stuffer) end(b []byte) []byte {
	switch s.state {
	case lineStart, lineWithin:
		b = append(b, '\r', '\n')
	case lineCR:
		b = append(b, '\n')
	}
	return append(b, ".\r\n"...)
}
