package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/internal/address"
)

// format is the form in which a message is handed over.
type format uint8

const (
	formatMbox    format = iota // From_ line, others quoted, and an empty line at the end
	formatPipe                  // From_ line
	formatMaildir               // neither
)

// bufferSize of reads and writes; a longer line is handled in parts.
const bufferSize = 64 << 10

// writeMessage writes one message with what final delivery puts on top.
func writeMessage(w io.Writer, f format, env Envelope, now time.Time, body io.Reader) error {
	out := bufio.NewWriterSize(w, bufferSize)
	if _, err := out.WriteString(preamble(f, env, now)); err != nil {
		return err
	}
	c := copier{out: out, lineStart: true, header: true, mbox: f == formatMbox}
	in := bufio.NewReaderSize(body, bufferSize)
	for {
		chunk, err := in.ReadSlice('\n')
		if err := c.write(chunk); err != nil {
			return err
		}
		switch {
		case err == io.EOF:
			return c.end()
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("read message: %w", err)
		}
	}
}

// preamble is what final delivery puts on top.
func preamble(f format, env Envelope, now time.Time) string {
	sender := "MAILER-DAEMON"
	if !env.From.IsNull() {
		sender = clean(env.From.String(), true)
	}
	var b strings.Builder
	if f != formatMaildir {
		fmt.Fprintf(&b, "From %s %s\n", sender, now.Format(time.ANSIC))
	}
	fmt.Fprintf(&b, "Return-Path: <%s>\n", clean(env.From.String(), false))
	fmt.Fprintf(&b, "X-Original-To: %s\n", env.original())
	fmt.Fprintf(&b, "Delivered-To: %s\n", deliveredTo(env.To))
	return b.String()
}

func deliveredTo(to address.Address) string { return clean(to.String(), false) }

// plainOriginal drops the address type of an ORCPT value.
func plainOriginal(s string) string {
	if kind, addr, typed := strings.Cut(s, ";"); typed && (strings.EqualFold(kind, "rfc822") || strings.EqualFold(kind, "utf-8")) {
		s = addr
	}
	return clean(strings.TrimSpace(s), false)
}

// clean keeps a value on its line, and within its word if so told.
func clean(s string, word bool) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || word && r == ' ' {
			return '_'
		}
		return r
	}, s)
}

// copier copies a message, in an mbox quoting what would look like the start of
// another.
type copier struct {
	out       *bufio.Writer
	mbox      bool
	lineStart bool // the next chunk begins a line
	header    bool
	drop      bool // within a field that is left out
}

// write takes a line, or a part of a long one.
func (c *copier) write(chunk []byte) error {
	if len(chunk) == 0 {
		return nil
	}
	if c.lineStart {
		c.classify(chunk)
	}
	quote := c.mbox && c.lineStart && !c.drop && bytes.HasPrefix(chunk, []byte("From "))
	c.lineStart = chunk[len(chunk)-1] == '\n'
	if c.drop {
		return nil
	}
	if quote {
		if err := c.out.WriteByte('>'); err != nil {
			return err
		}
	}
	_, err := c.out.Write(chunk)
	return err
}

// classify sees where the header ends and which of its fields must go: an older
// Return-Path (RFC 5321 §4.4 wants one) and Content-Length, by which some
// readers find the next message.
func (c *copier) classify(line []byte) {
	switch {
	case !c.header:
		c.drop = false
	case line[0] == '\n':
		c.header, c.drop = false, false
	case line[0] == ' ' || line[0] == '\t':
		// Continues the field before, and shares its fate.
	default:
		name, _, _ := bytes.Cut(line, []byte(":"))
		name = bytes.TrimRight(name, " \t")
		c.drop = bytes.EqualFold(name, []byte("Return-Path")) || bytes.EqualFold(name, []byte("Content-Length"))
	}
}

// end closes the last line and, in an mbox, adds the empty one.
func (c *copier) end() error {
	tail := ""
	if c.mbox {
		tail = "\n"
	}
	if !c.lineStart && !c.drop {
		tail += "\n"
	}
	if _, err := c.out.WriteString(tail); err != nil {
		return err
	}
	return c.out.Flush()
}
