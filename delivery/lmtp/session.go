package lmtp

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"time"
)

const (
	// blockSize is how much content is gathered before it is sent, and the unit that
	// Timeouts.Block bounds.
	blockSize = 32 << 10
	// groupSize is how many octets of commands are said before their replies are
	// read: they must fit in the buffers between us and the store, or both would wait
	// for the other to read (RFC 2920 §3.1).
	groupSize = 16 << 10
	// lastWords is how long a store that stopped listening is listened to.
	lastWords = time.Second
)

// errOutOfTurn says that replies and commands can no longer be told to belong
// together.
var errOutOfTurn = errors.New("the store replied out of turn")

// session is a dialogue with a store. It bounds each wait and ends with its context.
// After an error it is dead.
type session struct {
	ctx     context.Context
	conn    net.Conn
	times   Timeouts
	end     time.Time // of the Total
	replies replyReader
	out     *bufio.Writer
	offers  offers
	// dirty says that MAIL was granted and nothing has ended the transaction.
	dirty bool
	// mute says that the store waits for content, not for commands.
	mute bool
	stop func() bool
}

// connect dials the store.
func (c *Client) connect(ctx context.Context, t Target) (*session, error) {
	s := &session{ctx: ctx, times: c.Timeouts.withDefaults()}
	s.end = time.Now().Add(s.times.Total)
	dial := c.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	limited, cancel := context.WithDeadline(ctx, s.within(s.times.Connect))
	defer cancel()
	var err error
	if s.conn, err = dial(limited, t.Network, t.Address); err != nil {
		return nil, s.explain(err)
	}
	s.replies.r = bufio.NewReaderSize(s.conn, 4<<10)
	s.out = bufio.NewWriterSize(blockWriter{s}, blockSize)
	s.stop = context.AfterFunc(ctx, func() { s.conn.Close() })
	return s, nil
}

// close ends the session. Nothing depends on the reply to QUIT, nor on QUIT.
func (s *session) close() {
	s.stop()
	if !s.mute && s.conn.SetWriteDeadline(time.Now().Add(lastWords)) == nil {
		_, _ = io.WriteString(s.conn, "QUIT\r\n")
	}
	s.conn.Close()
}

func (s *session) within(wait time.Duration) time.Time {
	if t := time.Now().Add(wait); t.Before(s.end) {
		return t
	}
	return s.end
}

// explain gives the reason for an error: the context's end comes first.
func (s *session) explain(err error) error {
	var ne net.Error
	switch {
	case s.ctx.Err() != nil:
		return fmt.Errorf("given up: %w", context.Cause(s.ctx))
	case errors.As(err, &ne) && ne.Timeout():
		return errors.New("timed out")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the store closed the connection")
	}
	return err
}

// read waits for one reply.
func (s *session) read(wait time.Duration) (reply, error) {
	if err := s.conn.SetReadDeadline(s.within(wait)); err != nil {
		return reply{}, s.explain(err)
	}
	r, err := s.replies.read()
	if err != nil {
		return reply{}, s.explain(err)
	}
	return r, nil
}

// ask says one command.
func (s *session) ask(command string) (r reply, err error) {
	err = s.converse([]string{command}, func(_ int, said reply) bool {
		r = said
		return true
	})
	return r, err
}

// converse says commands, in groups if the store allows it, and has each reply
// heard. Once heard returns false, no further group is begun.
func (s *session) converse(commands []string, heard func(i int, r reply) bool) error {
	for begun := 0; begun < len(commands); {
		if s.replies.r.Buffered() > 0 {
			return s.interrupted()
		}
		next := begun
		for size := 0; next < len(commands) && (next == begun || s.offers.pipelining && size < groupSize); next++ {
			size += len(commands[next])
			_, _ = s.out.WriteString(commands[next] + "\r\n") // Flush tells
		}
		if err := s.out.Flush(); err != nil {
			return s.hearOut(err)
		}
		more := true
		for ; begun < next; begun++ {
			r, err := s.read(s.times.Command)
			if err != nil {
				return err
			}
			more = heard(begun, r) && more
			if r.code == 421 {
				return nil // and nothing will follow
			}
		}
		if !more {
			return nil
		}
	}
	return nil
}

// content sends the message with its final dot. In between it calls beforeDot.
func (s *session) content(body io.Reader, beforeDot func()) error {
	s.mute = true
	w := textproto.NewWriter(s.out).DotWriter()
	if _, err := io.Copy(w, source{body}); err != nil {
		var own *sourceError
		if errors.As(err, &own) {
			return err
		}
		return s.hearOut(err)
	}
	if s.replies.r.Buffered() > 0 {
		// Taken for replies to the dot, they would lose mail.
		return s.interrupted()
	}
	beforeDot()
	if s.ctx.Err() != nil {
		// With the dot unsaid the store cannot have the message.
		return s.explain(s.ctx.Err())
	}
	if err := w.Close(); err != nil {
		return s.hearOut(err)
	}
	s.mute = false
	return nil
}

// wordsError is a refusal that the store said when it was not its turn.
type wordsError struct{ reply }

func (e wordsError) Error() string { return e.String() }

// interrupted deals with a reply nobody asked for: only 421 may come at any time
// (RFC 5321 §3.8).
func (s *session) interrupted() error {
	if r, err := s.read(lastWords); err == nil && r.code == 421 {
		return wordsError{r}
	}
	return errOutOfTurn
}

// hearOut looks whether a store that took no more said why before it went.
func (s *session) hearOut(failure error) error {
	failure = s.explain(failure)
	if s.ctx.Err() != nil {
		return failure
	}
	if r, err := s.read(lastWords); err == nil && r.class() >= 4 {
		return wordsError{r}
	}
	return failure
}

// blockWriter bounds each write to the store.
type blockWriter struct{ s *session }

// Write implements io.Writer.
func (w blockWriter) Write(p []byte) (int, error) {
	if err := w.s.conn.SetWriteDeadline(w.s.within(w.s.times.Block)); err != nil {
		return 0, err
	}
	return w.s.conn.Write(p)
}

// source tells trouble with the message from trouble with the store.
type source struct{ io.Reader }

type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// Read implements io.Reader.
func (r source) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &sourceError{err}
	}
	return n, err
}
