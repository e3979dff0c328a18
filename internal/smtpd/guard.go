package smtpd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// phase is what the next bytes of the client are.
type phase uint8

const (
	inCommand phase = iota
	inBody          // after DATA and 354
	inChunk         // after BDAT
	inAuth          // after AUTH and 334
)

const (
	// writeTimeout is how long a client may take to read our replies.
	writeTimeout = 5 * time.Minute
	// lingerTimeout and lingerBytes bound what is still read of a client that was
	// sent away, so that the reply reaches it before the reset would.
	lingerTimeout = time.Second
	lingerBytes   = 256 << 10
	// bodySlack is how much of a body over the limit is read before the client is
	// sent away.
	bodySlack = 16 << 20
)

// guard is the connection as the protocol engine sees it. It works in lockstep
// with the engine: a Read yields one command line, or a part of one body or chunk,
// never what lies behind it, so that at the next Read the engine's replies tell
// what the next bytes are.
//
// Read, Write and Close are called by the engine's goroutine only; interrupt and
// cut by any.
type guard struct {
	net.Conn
	// raw is the connection below TLS. It stays the same, so that others may use it.
	raw     net.Conn
	srv     *Server
	peer    *peer
	admit   *admission
	closing atomic.Bool // told by interrupt
	once    sync.Once   // Close
	closed  bool

	mem     *buffers
	in      []byte // read from the client, not yet looked at
	pending []byte // to be read by the engine
	err     error  // for every Read from now on

	phase     phase
	body      body
	bodyBytes int64
	chunkLeft int64
	chunkLast bool
	// chunked: a message has begun with BDAT and not ended.
	chunked bool
	// final: the engine has the whole message, its next reply is the answer.
	final bool

	verb     string // of the command being answered
	held     string // a command that waits for the greeting made in its name
	swallow  bool   // the next reply is for us
	greeted  bool
	extended bool   // greeted with EHLO
	user     string // logged in as
	orcpt    string // of the RCPT command being answered, if the engine did not see it

	// What counts against the client, and the last word for one that went too far.
	refused, rejected, failedLogins, messages int
	doom                                      string

	begun    bool   // the first command is waited for
	reply    []byte // the beginning of a line that came in parts
	replying bool   // a multi-line reply is under way
	dead     bool   // nothing more is said
}

// buffers are what a connection needs while it is open; they are pooled.
type buffers struct {
	in      [8 << 10]byte
	scratch [4 << 10]byte
	out     []byte
}

var errShutdown = errors.New("server is shutting down")

// Read implements net.Conn for the engine.
func (g *guard) Read(p []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			g.srv.opts.Logger.Error("panic in SMTP connection", "client", g.peer.String(), "panic", r)
			g.err, g.dead = net.ErrClosed, true
			n, err = 0, g.err
		}
	}()
	for len(g.pending) == 0 {
		if g.err != nil {
			return 0, g.err
		}
		if err := g.fill(); err != nil {
			return 0, err
		}
	}
	n = copy(p, g.pending)
	g.pending = g.pending[n:]
	return n, nil
}

// fill gets the next thing for the engine into pending.
func (g *guard) fill() error {
	if err := g.open(); err != nil {
		return err
	}
	if !g.begun {
		g.begun = true
		if err := g.begin(); err != nil {
			return err
		}
	}
	switch g.phase {
	case inBody:
		_, err := g.bodyPart(g.mem.scratch[:])
		return err
	case inChunk:
		return g.fillChunk()
	}
	if g.held != "" {
		line := g.held
		g.held = ""
		return g.command([]byte(line))
	}
	end := bytes.IndexByte(g.in, '\n')
	switch {
	case end >= maxLine || end < 0 && len(g.in) >= maxLine:
		return g.die("500 5.5.2 Line too long", nil)
	case end < 0:
		return g.receive()
	}
	line := g.in[:end+1]
	g.in = g.in[end+1:]
	if g.phase == inAuth {
		g.phase = inCommand
		g.forward(string(bytes.TrimRight(line, "\r\n")))
		return nil
	}
	return g.command(line)
}

// begin does what comes before the first command.
func (g *guard) begin() error {
	if g.peer.service == Submissions {
		return g.secure()
	}
	if !g.peer.local && !g.peer.trusted && spokeFirst(g.raw) {
		// Who does not wait for the greeting sends what somebody else chose.
		g.mem.out = g.mem.out[:0]
		return g.die("554 5.5.1 You spoke before the greeting", nil)
	}
	return nil
}

// open fails if the connection is closed or is to be.
func (g *guard) open() error {
	if g.closed {
		return net.ErrClosed
	}
	if g.closing.Load() {
		return g.die("421 4.3.2 "+g.srv.opts.Hostname+" is shutting down", errShutdown)
	}
	if g.doom != "" {
		return g.die(g.doom, nil)
	}
	return nil
}

func (g *guard) fillChunk() error {
	if len(g.in) == 0 {
		return g.receive()
	}
	n := copy(g.mem.scratch[:], g.in[:min(int64(len(g.in)), g.chunkLeft)])
	g.pending, g.in = g.mem.scratch[:n], g.in[n:]
	if g.chunkLeft -= int64(n); g.chunkLeft == 0 {
		g.chunkDone()
	}
	return nil
}

// chunkDone notes that the engine has the whole chunk.
func (g *guard) chunkDone() { g.phase, g.final = inCommand, g.chunkLast }

// receive waits for more from the client. What was said so far goes out first, in
// one piece (RFC 2920 §3.2).
func (g *guard) receive() error {
	timeout := g.srv.opts.CommandTimeout
	if g.phase == inBody || g.phase == inChunk {
		timeout = g.srv.opts.DataTimeout
	}
	g.Conn.SetReadDeadline(time.Now().Add(timeout))
	if g.closing.Load() { // interrupt came before the deadline was set
		return nil
	}
	if err := g.flush(); err != nil {
		return g.die("", err)
	}
	kept := copy(g.mem.in[:], g.in)
	n, err := g.Conn.Read(g.mem.in[kept:])
	g.in = g.mem.in[:kept+n]
	switch {
	case n > 0:
		return nil
	case g.closing.Load():
		return nil // fill says so
	case errors.Is(err, os.ErrDeadlineExceeded):
		return g.die("421 4.4.2 "+g.srv.opts.Hostname+" timeout, closing connection", err)
	case err != nil:
		return g.die("", err)
	}
	return nil
}

// forward hands the engine a command.
func (g *guard) forward(line string) {
	g.pending = append(append(g.mem.scratch[:0], line...), "\r\n"...)
}

// refuse answers a command in the engine's stead.
func (g *guard) refuse(reply string) error {
	if g.refused++; g.refused > maxRefused {
		return g.die("421 4.7.0 Too many errors", nil)
	}
	g.say(reply)
	return nil
}

// die ends the connection, with a last word if there is one. The engine is told
// in a way that it cannot take for the end of a message (it takes EOF in a chunk
// for that), and whatever it says to it is dropped.
func (g *guard) die(lastWord string, cause error) error {
	err := net.ErrClosed
	if g.phase != inCommand {
		err = io.ErrUnexpectedEOF
	}
	g.err = net.ErrClosed
	if lastWord != "" && !g.speaksTLS() {
		g.say(lastWord)
		if g.flush() == nil {
			g.linger()
		}
		g.srv.opts.Logger.Info("SMTP connection ended by us", "client", g.peer.String(), "reply", lastWord)
	} else if cause != nil && cause != io.EOF {
		g.srv.opts.Logger.Debug("SMTP connection lost", "client", g.peer.String(), "error", cause)
	}
	g.dead = true
	return err
}

// linger reads on for a moment. Closing a TCP connection with bytes unread resets
// it, and the client may never see the reply.
func (g *guard) linger() {
	half, ok := g.Conn.(interface{ CloseWrite() error })
	if !ok || g.peer.tls || g.closing.Load() || half.CloseWrite() != nil {
		return
	}
	g.Conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	if g.closing.Load() {
		return
	}
	for left := lingerBytes; left > 0; {
		n, err := g.Conn.Read(g.mem.in[:])
		if err != nil {
			return
		}
		left -= n
	}
}

// Close implements net.Conn for the engine.
func (g *guard) Close() error {
	err := net.ErrClosed
	g.once.Do(func() {
		g.flush()
		g.closed, g.dead = true, true
		err = g.Conn.Close()
		g.srv.buffers.Put(g.mem)
		g.mem, g.in, g.pending = nil, nil, nil
		g.srv.leave(g)
	})
	return err
}

// interrupt has the session end as soon as it is not busy with a message that has
// come in whole.
func (g *guard) interrupt() {
	g.closing.Store(true)
	g.raw.SetReadDeadline(time.Now())
}

// cut ends the connection at once.
func (g *guard) cut() { g.raw.Close() }
