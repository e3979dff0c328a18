package message

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// MaxLine is the longest line SMTP carries, in octets without its line end
// (RFC 5321 §4.5.3.1.6).
const MaxLine = 998

// Traits are what a message has that not every transport takes.
type Traits struct {
	// HeaderEightBit: the header has non-ASCII, so SMTPUTF8 would be right for it.
	HeaderEightBit bool `cbor:"1,keyasint,omitempty"`
	// EightBit: the body has non-ASCII, so 8BITMIME is needed.
	EightBit bool `cbor:"2,keyasint,omitempty"`
	// InvalidUTF8: the body has non-ASCII that is not UTF-8.
	InvalidUTF8 bool `cbor:"3,keyasint,omitempty"`
	// LongLines: the body has lines over MaxLine.
	LongLines bool `cbor:"4,keyasint,omitempty"`
	// NUL: the body has NULs.
	NUL bool `cbor:"5,keyasint,omitempty"`
	// BareCR: the message has CRs inside lines.
	BareCR bool `cbor:"6,keyasint,omitempty"`
}

// Inspect reads a stored message to its end and tells its traits.
func Inspect(r io.Reader) (Traits, error) {
	in := newInspector()
	buf := make([]byte, bufferSize)
	for {
		n, err := r.Read(buf)
		in.add(buf[:n])
		if err == io.EOF {
			return in.Traits, nil
		}
		if err != nil {
			return in.Traits, fmt.Errorf("inspect message: %w", err)
		}
	}
}

// inspector finds traits in a message with LF line ends that comes in pieces.
type inspector struct {
	Traits
	inHeader bool
	column   int    // of the next byte in its line
	partial  []byte // a character cut by the end of a piece
}

func newInspector() *inspector { return &inspector{inHeader: true} }

func (in *inspector) add(p []byte) {
	in.BareCR = in.BareCR || bytes.IndexByte(p, '\r') >= 0
	for in.inHeader && len(p) > 0 {
		p = in.headerLine(p)
	}
	if len(p) == 0 {
		return
	}
	in.NUL = in.NUL || bytes.IndexByte(p, 0) >= 0
	in.EightBit = in.EightBit || hasEightBit(p)
	if in.EightBit && !in.InvalidUTF8 {
		in.checkUTF8(p)
	}
	in.measure(p)
}

// headerLine takes the next line, or what there is of it.
func (in *inspector) headerLine(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		in.HeaderEightBit = in.HeaderEightBit || hasEightBit(p)
		in.column += len(p)
		return nil
	}
	in.HeaderEightBit = in.HeaderEightBit || hasEightBit(p[:i])
	in.inHeader = in.column+i > 0
	in.column = 0
	return p[i+1:]
}

// measure looks for long lines. Of each stretch of MaxLine bytes it only has to
// know where the last line end is.
func (in *inspector) measure(p []byte) {
	for !in.LongLines {
		room := MaxLine - in.column
		if len(p) <= room {
			if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
				in.column = len(p) - i - 1
			} else {
				in.column += len(p)
			}
			return
		}
		i := bytes.LastIndexByte(p[:room+1], '\n')
		if i < 0 {
			in.LongLines = true
			return
		}
		p = p[i+1:]
		in.column = 0
	}
}

func (in *inspector) checkUTF8(p []byte) {
	for len(in.partial) > 0 && len(p) > 0 {
		in.partial = append(in.partial, p[0])
		p = p[1:]
		if !utf8.FullRune(in.partial) {
			continue
		}
		if !utf8.Valid(in.partial) {
			in.InvalidUTF8 = true
			return
		}
		in.partial = in.partial[:0]
	}
	whole := len(p)
	for i := len(p) - 1; i >= 0 && i >= len(p)-utf8.UTFMax; i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				whole = i
			}
			break
		}
	}
	in.InvalidUTF8 = !utf8.Valid(p[:whole])
	in.partial = append(in.partial, p[whole:]...)
}

// hasEightBit looks at eight bytes at a time.
func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 32 {
		a, b := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		c, d := binary.LittleEndian.Uint64(p[16:]), binary.LittleEndian.Uint64(p[24:])
		if (a|b|c|d)&high != 0 {
			return true
		}
		p = p[32:]
	}
	for _, c := range p {
		if c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}
