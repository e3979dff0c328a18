package smtp

import (
	"net"
	"time"
)

// facade is what makes a wire the net.Conn of go-smtp's client: one on which each
// reply is one line of the code that the first digit stands for.
type facade struct {
	feed    []byte // what go-smtp reads next
	welcome []byte // what its EHLO will be answered with, without asking the host
}

// prime has go-smtp greeted and its EHLO answered with what the host has offered
// already.
func (w *wire) prime(o *offers) {
	w.feed = []byte("220 ready\r\n")
	w.welcome = o.forGoSMTP()
}

// Read implements net.Conn for go-smtp: the reply to what has been written, boiled
// down to one line.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.feed) == 0 {
		if err := w.exchange(); err != nil {
			return 0, err
		}
		w.feed = boiledDown(w.last)
	}
	n := copy(p, w.feed)
	w.feed = w.feed[n:]
	return n, nil
}

// boiledDown gives the code that go-smtp knows for each class of replies, because
// it compares whole codes where only the first digit counts (RFC 5321 §4.3.2).
func boiledDown(s said) []byte {
	switch s.class() {
	case 2:
		return okLine
	case 3:
		return goLine
	}
	return noLine
}

var okLine, goLine, noLine = []byte("250 ok\r\n"), []byte("354 go\r\n"), []byte("550 no\r\n")

// Write implements net.Conn: it gathers.
func (w *wire) Write(p []byte) (int, error) {
	if w.welcome != nil {
		w.feed, w.welcome = w.welcome, nil
		return len(p), nil
	}
	if w.err != nil {
		return 0, w.err
	}
	w.out = append(w.out, p...)
	return len(p), nil
}

// Close implements net.Conn.
func (w *wire) Close() error { return w.raw.Close() }

// LocalAddr implements net.Conn.
func (w *wire) LocalAddr() net.Addr { return w.raw.LocalAddr() }

// RemoteAddr implements net.Conn.
func (w *wire) RemoteAddr() net.Addr { return w.raw.RemoteAddr() }

// SetDeadline implements net.Conn by doing nothing: ours follow the phase.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is like SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is like SetDeadline.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
