package lmtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// maxReply bounds one reply with all its lines.
const maxReply = 8 << 10

// reply is what the store said; lines are parted by \n, codes included.
type reply struct {
	code  int
	lines string
}

func (r reply) class() int { return r.code / 100 }

// String gives the reply on one line, fit for logs and terminals. Codes are written
// once.
func (r reply) String() string {
	first, rest, _ := strings.Cut(r.lines, "\n")
	var b strings.Builder
	b.WriteString(first)
	for line := range strings.SplitSeq(rest, "\n") {
		if len(line) > 4 {
			b.WriteString(" " + strings.TrimPrefix(line[4:], statusWord(first)+" "))
		}
	}
	text := b.String()
	if len(text) > 3 {
		text = text[:3] + " " + text[4:]
	}
	return oneLine(text)
}

// oneLine makes control characters and broken UTF-8 question marks and runs of
// blanks one.
func oneLine(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c == unicode.ReplacementChar, unicode.IsControl(c) && !unicode.IsSpace(c):
			return '?'
		}
		return c
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}

// status is the enhanced code of the first line if its class is the reply's
// (RFC 2034 §4), else the general one of that class.
func (r reply) status() string {
	first, _, _ := strings.Cut(r.lines, "\n")
	if word := statusWord(first); word != "" && int(word[0]-'0') == r.class() {
		return word
	}
	return fmt.Sprintf("%d.0.0", r.class())
}

// statusWord is the enhanced code that a line has after its code, if any
// (RFC 3463 §2).
func statusWord(line string) string {
	if len(line) < 5 {
		return ""
	}
	word, _, _ := strings.Cut(line[4:], " ")
	class, rest, _ := strings.Cut(word, ".")
	subject, detail, _ := strings.Cut(rest, ".")
	if class != "2" && class != "4" && class != "5" || !isNumber(subject) || !isNumber(detail) {
		return ""
	}
	return word
}

func isNumber(s string) bool {
	return s != "" && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

// replyReader reads whole replies (RFC 5321 §4.2) and bounds what a store may make
// us keep.
type replyReader struct {
	r *bufio.Reader
}

// read reads one reply. The code of its last line counts where lines differ.
func (rr replyReader) read() (reply, error) {
	var b []byte
	for {
		start := len(b)
		var err error
		if b, err = rr.line(b); err != nil {
			return reply{}, err
		}
		code, more, err := parseLine(b[start:])
		if err != nil {
			return reply{}, err
		}
		if !more {
			return reply{code: code, lines: string(b)}, nil
		}
		b = append(b, '\n')
	}
}

// line appends one line without its end.
func (rr replyReader) line(b []byte) ([]byte, error) {
	start := len(b)
	for {
		part, err := rr.r.ReadSlice('\n')
		if len(b)+len(part) > maxReply {
			return nil, fmt.Errorf("reply is longer than %d bytes", maxReply)
		}
		b = append(b, part...)
		switch {
		case err == nil:
			return b[:start+len(bytes.TrimRight(b[start:], "\r\n"))], nil
		case errors.Is(err, io.EOF) && len(b) > 0:
			return nil, io.ErrUnexpectedEOF
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// parseLine reads the code of a reply line and whether more lines follow.
func parseLine(line []byte) (code int, more bool, err error) {
	ok := len(line) >= 3 && line[0] >= '2' && line[0] <= '5' && (len(line) == 3 || line[3] == ' ' || line[3] == '-')
	for i := 0; ok && i < 3; i++ {
		ok = line[i] >= '0' && line[i] <= '9'
		code = code*10 + int(line[i]-'0')
	}
	if !ok {
		return 0, false, fmt.Errorf("%q is no reply of LMTP", oneLine(string(line[:min(len(line), 80)])))
	}
	return code, len(line) > 3 && line[3] == '-', nil
}
