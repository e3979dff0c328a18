package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// blockSize is how much output is gathered before it is sent, and the unit that
// Timeouts.Block bounds.
const blockSize = 32 << 10

// lastWords is how long a peer that stopped listening is listened to.
const lastWords = time.Second

// wire is one connection with everything go-smtp's client leaves to the
// connection: it bounds each wait, checks replies and keeps them verbatim, gathers
// output so that the end of a message leaves with its final dot in one write, and
// stops when the context ends.
//
// Towards go-smtp it is a net.Conn on which each reply is one line of the code
// that the first digit stands for. It is used by one goroutine at a time; only cut
// may come from another.
type wire struct {
	conn     net.Conn // what is read and written: raw, or TLS on it
	raw      net.Conn
	timeouts *Timeouts
	replies  *replyReader
	out      []byte
	ctx      context.Context
	budget   time.Time

	phase    Phase
	last     said // reply to the current command
	answered bool
	flushed  bool  // the current command has been handed to the system
	err      error // first failure; the wire is dead from then on

	feed    []byte // what go-smtp reads next
	welcome []byte // what its EHLO will be answered with, without asking the host
}

func newWire(conn net.Conn, o *Options) *wire {
	return &wire{conn: conn, raw: conn, timeouts: &o.Timeouts, replies: newReplyReader(conn, o.MaxReplyBytes), ctx: context.Background()}
}

// secure goes on over another connection, which is TLS on the present one.
func (w *wire) secure(conn net.Conn) {
	w.conn = conn
	w.replies = newReplyReader(conn, w.replies.max)
}

// attach puts the wire under a context and a budget. The returned function ends
// that and reports whether the wire was left alone.
func (w *wire) attach(ctx context.Context, budget time.Time) (detach func() bool) {
	w.ctx, w.budget = ctx, budget
	if ctx.Done() == nil {
		return func() bool { return true }
	}
	stop := context.AfterFunc(ctx, w.cut)
	return func() bool {
		w.ctx = context.Background()
		return stop()
	}
}

// cut ends the connection at once.
func (w *wire) cut() { w.raw.Close() }

// begin starts a command of the given phase.
func (w *wire) begin(p Phase) {
	w.phase, w.answered, w.flushed, w.last = p, false, false, said{}
}

// command sends one line of our own and waits for its reply.
func (w *wire) command(p Phase, line string) (said, error) {
	w.begin(p)
	w.out = append(append(w.out, line...), '\r', '\n')
	err := w.exchange()
	return w.answer(err)
}

// answer gives the reply to the current command, or why there is none: err if
// nothing failed here.
func (w *wire) answer(err error) (said, error) {
	switch {
	case w.answered:
		return w.last, nil
	case w.err != nil:
		return said{}, w.err
	case err == nil:
		return said{}, errors.New("no reply was read")
	}
	return said{}, err
}

// exchange sends what is waiting and reads one reply.
func (w *wire) exchange() error {
	if w.err != nil {
		return w.err
	}
	if w.replies.r.Buffered() > 0 {
		return w.interrupted()
	}
	// One deadline for both ways: setting it is not free.
	if err := w.conn.SetDeadline(w.deadline(w.timeouts.of(w.phase))); err != nil {
		return w.fail(err)
	}
	if err := w.send(); err != nil {
		return err
	}
	w.flushed = true
	return w.read()
}

// interrupted deals with a reply nobody asked for. Only 421 may come at any time
// (RFC 5321 §3.8); anything else would shift all replies after it.
func (w *wire) interrupted() error {
	r, err := w.replies.read()
	if err == nil && r.code == 421 {
		w.last, w.answered = r, true
		w.err = errors.New("host closes the session")
		return nil
	}
	return w.fail(errors.New("host sent a reply out of turn"))
}

func (w *wire) read() error {
	r, err := w.replies.read()
	if err != nil {
		return w.fail(err)
	}
	w.last, w.answered = r, true
	return nil
}

// send writes what has been gathered. The deadline is set.
func (w *wire) send() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.conn.Write(w.out)
	w.out = w.out[:0]
	if err == nil {
		return nil
	}
	return w.hearOut(w.fail(err))
}

// hearOut looks whether a peer that took no more said why before it went: a full
// disk or a size limit while content is written (RFC 5321 §4.2.5).
func (w *wire) hearOut(failure error) error {
	if isTimeout(failure) || w.ctx.Err() != nil || w.conn.SetReadDeadline(time.Now().Add(lastWords)) != nil {
		return failure
	}
	if r, err := w.replies.read(); err == nil && r.class() >= 4 {
		w.last, w.answered = r, true
	}
	return failure
}

// fail notes the first failure. Where the context ended, that is the reason.
func (w *wire) fail(err error) error {
	if w.err == nil {
		if w.ctx.Err() != nil {
			err = givenUp(w.ctx)
		} else if isTimeout(err) {
			err = fmt.Errorf("timed out: %w", err)
		}
		w.err = err
	}
	return w.err
}

func (w *wire) deadline(wait time.Duration) time.Time {
	d := time.Now().Add(wait)
	if !w.budget.IsZero() && w.budget.Before(d) {
		return w.budget
	}
	return d
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// prime has go-smtp greeted and its EHLO answered with what the host has offered
// already.
func (w *wire) prime(o offers) {
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
	if len(w.out)+len(p) > blockSize {
		if err := w.conn.SetWriteDeadline(w.deadline(w.timeouts.Block)); err != nil {
			return 0, w.fail(err)
		}
		if err := w.send(); err != nil {
			return 0, err
		}
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

// SetDeadline implements net.Conn by doing nothing: go-smtp clears deadlines while
// content is written, and ours follow the phase.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline is like SetDeadline.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline is like SetDeadline.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
