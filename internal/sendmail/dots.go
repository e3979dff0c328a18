package sendmail

import (
	"bufio"
	"bytes"
)

// bodyBlock is how much of a message is sent at a time, in bytes.
const bodyBlock = 32 << 10

// dotWriter writes a message as it goes after DATA: lines end with CRLF, and one
// that begins with a dot gets another (RFC 5321 §4.5.2).
type dotWriter struct {
	w *bufio.Writer
	// inLine: the line under way has begun. cr: its last byte so far is a CR.
	inLine, cr bool
}

// add writes a piece, which may begin and end anywhere in a line.
func (d *dotWriter) add(p []byte) error {
	for len(p) > 0 {
		if !d.inLine && p[0] == '.' {
			d.w.WriteByte('.')
		}
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			d.inLine, d.cr = true, p[len(p)-1] == '\r'
			_, err := d.w.Write(p)
			return err
		}
		if end > 0 {
			d.cr = p[end-1] == '\r'
		}
		d.w.Write(p[:end])
		if err := d.newline(); err != nil {
			return err
		}
		p = p[end+1:]
	}
	return nil
}

// newline ends the line under way.
func (d *dotWriter) newline() error {
	if !d.cr {
		d.w.WriteByte('\r')
	}
	d.inLine, d.cr = false, false
	return d.w.WriteByte('\n')
}

// end writes the end of the message. The writer keeps what goes wrong for Flush.
func (d *dotWriter) end() {
	if d.inLine {
		d.newline()
	}
	d.w.WriteString(".\r\n")
}
