package smtpd

import "io"

// endOfData is all that the engine sees of a body: the session has the rest.
const endOfData = ".\r\n"

// messageReader is what follows DATA, dot-stuffing undone, with LF line ends. The session
// reads it from here because the engine would look at each byte again; what it does
// not read is dropped when the engine asks for the end. Only the engine's goroutine
// may use it, which is the one that calls Data if there are no chunks.
type messageReader struct{ guard *guard }

// message gives the reader of the message of which the engine has given r. A pipe
// means chunks, which come through the engine.
func (g *guard) message(r io.Reader) io.Reader {
	if _, chunks := r.(*io.PipeReader); chunks {
		return r
	}
	return messageReader{g}
}

// Read implements io.Reader.
func (r messageReader) Read(p []byte) (int, error) {
	g := r.guard
	for g.phase == inBody {
		if g.err != nil {
			return 0, g.err
		}
		if err := g.open(); err != nil {
			return 0, err
		}
		if n, err := g.bodyPart(p); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.EOF
}

// bodyPart copies the next part of a body, if there is one, to p. At the body's end
// the engine gets to see that.
func (g *guard) bodyPart(p []byte) (int, error) {
	if len(g.in) == 0 {
		return 0, g.receive()
	}
	nd, ns, end := g.body.pass(p, g.in)
	g.in = g.in[ns:]
	g.bodyBytes += int64(nd)
	limit := g.srv.opts.MaxSize
	switch {
	case end == bareLF:
		return 0, g.die("550 5.5.2 Line feed without carriage return in message (RFC 5321 section 2.3.8)", nil)
	case end == ended:
		g.phase, g.final = inCommand, true
		g.pending = append(g.mem.scratch[:0], endOfData...)
	case limit > 0 && g.bodyBytes > limit+bodySlack:
		return 0, g.die("552 5.3.4 Message is too large", nil)
	}
	return nd, nil
}
