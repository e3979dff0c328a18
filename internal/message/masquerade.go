package message

import (
	"bufio"
	"bytes"
	"io"
	"strings"

	"postrider/internal/address"
)

// maxOriginator is the longest field that Masquerade looks at; longer ones pass as
// they are.
const maxOriginator = 256 << 10

// Masquerade yields a stored message in which the addresses of who it is from are
// replaced by what rewrite makes of them, where that reports true: those in the
// fields From, Sender and Reply-To and their Resent- forms. Everything else stays
// byte for byte: display names, comments, groups and folding, other fields and the
// body, and any field with a part that cannot be read.
func Masquerade(r io.Reader, rewrite func(address.Address) (address.Address, bool)) io.Reader {
	return &masqueraded{br: bufio.NewReaderSize(r, bufferSize), head: originators{rewrite: rewrite}}
}

// MasqueradeBytes is Masquerade for a message that is in memory. If nothing changes,
// it returns stored itself.
func MasqueradeBytes(stored []byte, rewrite func(address.Address) (address.Address, bool)) []byte {
	o := originators{rewrite: rewrite}
	rest := stored
	for len(rest) > 0 {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 {
			n = len(rest)
		}
		if !o.add(rest[:n], true) {
			break
		}
		rest = rest[n:]
	}
	o.flush()
	if !o.changed {
		return stored
	}
	return append(o.out, rest...)
}

// masqueraded is the reader that Masquerade gives.
type masqueraded struct {
	br      *bufio.Reader
	head    originators
	midLine bool
	inBody  bool
	read    int // bytes of head.out read already
	err     error
}

// Read implements io.Reader.
func (m *masqueraded) Read(p []byte) (int, error) {
	for m.read == len(m.head.out) {
		switch {
		case m.err != nil:
			return 0, m.err
		case m.inBody:
			return m.br.Read(p)
		}
		m.head.out, m.read = m.head.out[:0], 0
		m.step()
	}
	n := copy(p, m.head.out[m.read:])
	m.read += n
	return n, nil
}

// step takes the next line of the header, or a piece of one.
func (m *masqueraded) step() {
	piece, err := m.br.ReadSlice('\n')
	if len(piece) > 0 && !m.head.add(piece, !m.midLine) {
		m.inBody = true
		m.head.flush()
		m.head.out = append(m.head.out, piece...)
	}
	m.midLine = err == bufio.ErrBufferFull
	if err != nil && !m.midLine {
		m.err = err
		m.head.flush()
	}
}

// originators rewrites a header that comes line by line.
type originators struct {
	rewrite func(address.Address) (address.Address, bool)
	field   []byte // the field being collected, folds included
	inField bool   // any field has begun
	out     []byte
	changed bool
}

// add takes a line with its end, or a piece of one that start tells to begin it. It
// reports false, and has not taken the line, if the header ends before it.
func (o *originators) add(line []byte, start bool) bool {
	collect := len(o.field) > 0
	if start && !(isBlank(line[0]) && o.inField) {
		// A stream has no more of the line than this at once.
		n, _, ok := splitName(line[:min(len(line), bufferSize)])
		if !ok {
			return false
		}
		o.flush()
		o.inField = true
		collect = isOriginator(line[:n])
	}
	if collect && len(o.field)+len(line) > maxOriginator {
		o.out = append(o.out, o.field...)
		o.field, collect = o.field[:0], false
	}
	if collect {
		o.field = append(o.field, line...)
	} else {
		o.out = append(o.out, line...)
	}
	return true
}

// flush ends the field being collected.
func (o *originators) flush() {
	if len(o.field) == 0 {
		return
	}
	_, colon, _ := splitName(o.field)
	value := string(o.field[colon+1:])
	rewritten := address.RewriteHeader(value, func(a address.Address) address.Address {
		if to, ok := o.rewrite(a); ok {
			return to
		}
		return a
	})
	o.changed = o.changed || rewritten != value
	o.out = append(append(o.out, o.field[:colon+1]...), rewritten...)
	o.field = o.field[:0]
}

// isOriginator knows the fields that say who a message is from (RFC 5322 §3.6.2).
func isOriginator(name []byte) bool {
	switch strings.TrimPrefix(strings.ToLower(string(name)), "resent-") {
	case "from", "sender", "reply-to":
		return true
	}
	return false
}
