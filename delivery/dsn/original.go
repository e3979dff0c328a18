package dsn

import (
	"bufio"
	"errors"
	"io"
)

// headerLimit bounds the header that a report returns, in bytes; it is
// cut there, at the end of a line unless that is a very long one.
const headerLimit = 64 << 10

// Original is what a report must know of the message before it streams it.
type Original struct {
	// HeaderSize is the header's length in bytes, without the empty line.
	HeaderSize int64
	// EightBitHeader and EightBitBody tell where bytes above 127 are. Only the
	// part of the header that a report may return counts.
	EightBitHeader, EightBitBody bool
}

// Survey reads a message to its end.
func Survey(r io.Reader) (Original, error) {
	var o Original
	s := headerScanner{in: bufio.NewReader(r)}
	for s.next() {
		o.HeaderSize += int64(len(s.chunk))
		if s.returned {
			o.EightBitHeader = o.EightBitHeader || eightBit(s.chunk)
		} else {
			o.EightBitBody = o.EightBitBody || eightBit(s.chunk)
		}
	}
	buf := make([]byte, 32<<10)
	for err := s.err; ; {
		if err == io.EOF {
			return o, nil
		}
		if err != nil {
			return Original{}, err
		}
		var n int
		n, err = s.in.Read(buf)
		o.EightBitBody = o.EightBitBody || eightBit(buf[:n])
	}
}

// copyHeader copies the header, without the empty line, up to headerLimit.
func copyHeader(w io.Writer, original io.Reader) error {
	s := headerScanner{in: bufio.NewReader(original)}
	for s.next() && s.returned {
		if _, err := w.Write(s.chunk); err != nil {
			return err
		}
	}
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

// headerScanner reads a header line by line, a long line in chunks.
type headerScanner struct {
	in       *bufio.Reader
	chunk    []byte
	returned bool // chunk lies within headerLimit
	size     int
	midLine  bool
	err      error
}

// next reads a chunk. It is false at the empty line, which is consumed, and upon
// an error, io.EOF included.
func (s *headerScanner) next() bool {
	if s.err != nil {
		return false
	}
	s.chunk, s.err = s.in.ReadSlice('\n')
	if errors.Is(s.err, bufio.ErrBufferFull) {
		s.err = nil
	}
	if len(s.chunk) == 0 || !s.midLine && string(s.chunk) == "\n" {
		return false
	}
	s.size += len(s.chunk)
	s.returned = s.size <= headerLimit
	s.midLine = s.chunk[len(s.chunk)-1] != '\n'
	return s.err == nil || s.err == io.EOF
}

func eightBit(p []byte) bool {
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
