package message

import (
	"bytes"
	"io"
)

const bufferSize = 8 << 10

// lineReader normalises line ends on the fly: all CRs before an LF go, and the
// last line gets its LF. Other CRs stay. With dotEnds, a line that holds only a
// dot ends the input, with or without a line end of its own.
type lineReader struct {
	r       io.Reader
	dotEnds bool
	buf     []byte
	in      []byte // unread part of buf
	err     error  // what r said at its end
	midLine bool   // the current line has output already
	// Held back until the next byte decides: a dot at the start of a line, then a
	// number of CRs. release says that they turned out to be data.
	dot     bool
	crs     int
	release bool
	ended   bool // by a lone dot
}

func newLineReader(r io.Reader, dotEnds bool) *lineReader {
	return &lineReader{r: r, dotEnds: dotEnds, buf: make([]byte, bufferSize)}
}

func (l *lineReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) && !l.ended {
		switch {
		case l.release:
			n += l.emitHeld(p[n:])
		case len(l.in) == 0:
			if n > 0 {
				return n, nil
			}
			if l.err != nil {
				return l.finish(p)
			}
			l.fill()
		case l.dot || l.crs > 0:
			n += l.decide(p[n:])
		default:
			n += l.copyLines(p[n:])
		}
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (l *lineReader) fill() {
	for range 100 {
		n, err := l.r.Read(l.buf)
		l.in, l.err = l.buf[:n], err
		if n > 0 || err != nil {
			return
		}
	}
	l.err = io.ErrNoProgress
}

// decide looks at the byte after what is held back.
func (l *lineReader) decide(p []byte) int {
	switch l.in[0] {
	case '\r':
		l.crs++
		l.in = l.in[1:]
		return 0
	case '\n':
		l.in = l.in[1:]
		if l.dot {
			l.ended = true
			return 0
		}
		l.crs, l.midLine = 0, false
		p[0] = '\n'
		return 1
	}
	l.release = true
	return 0
}

func (l *lineReader) emitHeld(p []byte) int {
	n := 0
	if l.dot {
		p[0] = '.'
		n, l.dot = 1, false
	}
	for ; n < len(p) && l.crs > 0; n++ {
		p[n] = '\r'
		l.crs--
	}
	l.release = l.crs > 0
	l.midLine = true
	return n
}

// finish ends the last line if it has no end of its own.
func (l *lineReader) finish(p []byte) (int, error) {
	if l.err != io.EOF {
		return 0, l.err
	}
	if !l.dot && (l.midLine || l.crs > 0) {
		l.midLine, l.crs = false, 0
		p[0] = '\n'
		return 1, nil
	}
	l.ended = true
	return 0, io.EOF
}

// copyLines moves what needs no decision from l.in to p.
func (l *lineReader) copyLines(p []byte) int {
	if w := l.in[:min(len(l.in), len(p))]; l.plain(w) {
		l.in = l.in[len(w):]
		l.midLine = w[len(w)-1] != '\n'
		return copy(p, w)
	}
	n := 0
	for n < len(p) && len(l.in) > 0 {
		if !l.midLine && l.dotEnds && l.in[0] == '.' {
			l.dot = true
			l.in = l.in[1:]
			break
		}
		w := l.in[:min(len(l.in), len(p)-n)]
		i := bytes.IndexByte(w, '\n')
		if i < 0 {
			kept := trimCR(w)
			n += copy(p[n:], kept)
			l.crs = len(w) - len(kept)
			l.midLine = l.midLine || len(kept) > 0
			l.in = l.in[len(w):]
			break
		}
		n += copy(p[n:], trimCR(w[:i]))
		p[n] = '\n'
		n++
		l.midLine = false
		l.in = l.in[i+1:]
	}
	return n
}

// plain reports whether w can be copied without a look at its lines.
func (l *lineReader) plain(w []byte) bool {
	if bytes.IndexByte(w, '\r') >= 0 {
		return false
	}
	return !l.dotEnds || (l.midLine || w[0] != '.') && !bytes.Contains(w, []byte("\n."))
}

func trimCR(line []byte) []byte {
	for len(line) > 0 && line[len(line)-1] == '\r' {
		line = line[:len(line)-1]
	}
	return line
}
