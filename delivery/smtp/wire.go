package smtp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// blockSize is how much output is gathered before it is sent, and the unit that
// Timeouts.Block bounds.
const blockSize = 32 << 10

// lastWords is how long a peer that stopped listening is listened to.
const lastWords = time.Second

// errClosing says that a host has said 421.
var errClosing = errors.New("host closed the session")

// errOutOfTurn says that replies and commands can no longer be told to belong
// together.
var errOutOfTurn = errors.New("host sent a reply out of turn")

// wire is one connection: it bounds each wait, checks replies and keeps them
// verbatim, gathers output so that the end of a message leaves with its final dot in
// one write, and stops when the context ends.
//
// Towards go-smtp it is a net.Conn (facade.go). It is used by one goroutine at a
// time; only cut may come from another.
type wire struct {
	conn     net.Conn // what is read and written: raw, or TLS on it
	raw      net.Conn
	timeouts *Timeouts
	replies  *replyReader
	out      []byte
	block    []byte     // content on its way to out
	whole    *sync.Pool // of *[]byte that hold wholeSize
	stuffer  stuffer
	ctx      context.Context
	budget   time.Time

	phase    Phase
	last     said // reply to the current command
	answered bool
	flushed  bool  // the current command has been handed to the system
	bounded  bool  // the deadline for the reply is set
	err      error // first failure; the wire is dead from then on

	facade
}

func newWire(conn net.Conn, c *Client) *wire {
	w := &wire{conn: conn, raw: conn, timeouts: &c.opts.Timeouts, whole: &c.whole, ctx: context.Background()}
	w.replies = newReplyReader(patience{w}, c.opts.MaxReplyBytes)
	return w
}

// secure goes on over another connection, which is TLS on the present one.
func (w *wire) secure(conn net.Conn) {
	w.conn = conn
	w.replies = newReplyReader(patience{w}, w.replies.max)
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
	w.phase, w.answered, w.flushed, w.bounded, w.last = p, false, false, false, said{}
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
	if len(w.out) > blockSize {
		if err := w.sendBlock(); err != nil {
			return err
		}
	} else {
		// One deadline for both ways: setting it is not free.
		if err := w.conn.SetDeadline(w.deadline(w.timeouts.of(w.phase))); err != nil {
			return w.fail(err)
		}
		w.bounded = true
		if err := w.send(); err != nil {
			return err
		}
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
		w.err = errClosing
		return nil
	}
	return w.fail(errOutOfTurn)
}

// isMore reports whether a reply other than 421 has come before anybody asked.
func (w *wire) isMore() bool {
	code, err := w.replies.r.Peek(min(3, w.replies.r.Buffered()))
	return err == nil && len(code) > 0 && !bytes.HasPrefix([]byte("421"), code)
}

// read reads the reply to a command that has been sent.
func (w *wire) read() error {
	if w.err != nil {
		return w.err
	}
	r, err := w.replies.read()
	if err != nil {
		return w.fail(err)
	}
	w.last, w.answered = r, true
	return nil
}

// patience is what replies are read through. It bounds the wait where there is one:
// most replies to a group of commands come together.
type patience struct{ w *wire }

// Read implements io.Reader.
func (p patience) Read(b []byte) (int, error) {
	if !p.w.bounded {
		if err := p.w.conn.SetReadDeadline(p.w.deadline(p.w.timeouts.of(p.w.phase))); err != nil {
			return 0, err
		}
		p.w.bounded = true
	}
	return p.w.conn.Read(b)
}

// sendBlock writes content that has been gathered. A message that is written as a
// whole has the time of one block for each that gets through; TLS cannot go on after
// a deadline.
func (w *wire) sendBlock() error {
	for {
		if err := w.conn.SetWriteDeadline(w.deadline(w.timeouts.Block)); err != nil {
			return w.fail(err)
		}
		n, err := w.conn.Write(w.out)
		if err == nil {
			w.out = w.out[:0]
			return nil
		}
		if w.conn != w.raw || n < blockSize || !isTimeout(err) {
			return w.hearOut(w.fail(err))
		}
		w.out = w.out[:copy(w.out, w.out[n:])]
	}
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
	w.bounded = true
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
