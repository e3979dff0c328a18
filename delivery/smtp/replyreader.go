package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// errTooLong says that a reply went over the limit.
var errTooLong = errors.New("reply is too long")

// replyReader reads whole replies (RFC 5321 §4.2) and bounds what a peer may make
// us keep.
type replyReader struct {
	r   *bufio.Reader
	max int
	buf []byte // the reply being read, lines parted by \n, the last one without
}

const replyBuffer = 4096

func newReplyReader(r io.Reader, max int) *replyReader {
	return &replyReader{r: bufio.NewReaderSize(r, replyBuffer), max: max}
}

// read reads one reply. The code of its last line counts where a peer mixes them.
func (r *replyReader) read() (said, error) {
	r.buf = r.buf[:0]
	for {
		start := len(r.buf)
		if err := r.line(); err != nil {
			return said{}, err
		}
		code, more, err := parseLine(r.buf[start:])
		if err != nil {
			return said{}, err
		}
		if !more {
			return said{code: code, lines: r.buf}, nil
		}
		r.buf = append(r.buf, '\n')
	}
}

// line appends one line without its end to buf.
func (r *replyReader) line() error {
	start := len(r.buf)
	for {
		part, err := r.r.ReadSlice('\n')
		if len(r.buf)+len(part) > r.max {
			return fmt.Errorf("%w: more than %d bytes", errTooLong, r.max)
		}
		r.buf = append(r.buf, part...)
		if err == nil {
			line := bytes.TrimRight(r.buf[start:], "\r\n")
			r.buf = r.buf[:start+len(line)]
			return nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return lost(err, len(r.buf) > 0)
		}
	}
}

// lost tells a connection that ended between replies from one that ended within.
func lost(err error, within bool) error {
	if within && errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// parseLine reads the code of a reply line and whether more lines follow.
func parseLine(line []byte) (code int, more bool, err error) {
	if len(line) < 3 || line[0] < '2' || line[0] > '5' || !isDigit(line[1]) || !isDigit(line[2]) {
		return 0, false, malformed(line)
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, false, nil
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, malformed(line)
	}
	return code, line[3] == '-', nil
}

func malformed(line []byte) error {
	const enough = 80
	if len(line) > enough {
		line = line[:enough]
	}
	return fmt.Errorf("%q is not an SMTP reply", printable(line))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
