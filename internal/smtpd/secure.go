package smtpd

import (
	"crypto/tls"
	"strings"
	"time"
)

// handshakeTimeout is how long a TLS handshake may take.
const handshakeTimeout = time.Minute

// offersTLS reports whether the client may say STARTTLS.
func (g *guard) offersTLS() bool {
	return g.srv.tls != nil && !g.peer.local && !g.peer.tls
}

// startTLS answers STARTTLS (RFC 3207). The engine does not see it: TLS has to come
// below the guard.
func (g *guard) startTLS(line string) error {
	switch {
	case g.srv.tls == nil || g.peer.local:
		g.forward(line) // the engine has no TLS and says so
		return nil
	case len(strings.TrimSpace(line)) > len("STARTTLS"):
		return g.refuse("501 5.5.4 STARTTLS has no parameters")
	case g.peer.tls:
		return g.refuse("503 5.5.1 TLS is already active")
	case g.chunked:
		return g.refuse("503 5.5.1 STARTTLS not allowed during message transfer")
	}
	g.say("220 2.0.0 Ready to start TLS")
	if err := g.flush(); err != nil {
		return g.die("", err)
	}
	// What came before the handshake anybody on the way can have put there.
	if len(g.in) > 0 {
		g.srv.opts.Logger.Warn("commands sent before TLS are dropped", "client", g.peer.String())
		g.in = g.in[:0]
	}
	if err := g.secure(); err != nil {
		return err
	}
	// Nothing that was said in clear text counts any more (RFC 3207 §4.2).
	g.greeted, g.extended = false, false
	g.verb, g.swallow = "RSET", true
	g.forward("RSET")
	return nil
}

// secure puts TLS between the guard and the client.
func (g *guard) secure() error {
	deadline := time.Now().Add(handshakeTimeout)
	g.raw.SetReadDeadline(deadline)
	g.raw.SetWriteDeadline(deadline)
	if g.closing.Load() { // interrupt came before the deadline was set
		return g.die("", errShutdown)
	}
	conn := tls.Server(g.raw, g.srv.tls)
	if err := conn.Handshake(); err != nil {
		g.srv.opts.Logger.Info("TLS handshake failed", "client", g.peer.String(), "error", err)
		return g.die("", err)
	}
	g.Conn = conn
	state := conn.ConnectionState()
	g.peer.tls = true
	g.peer.cipher = tls.CipherSuiteName(state.CipherSuite) + " (" + strings.ReplaceAll(tls.VersionName(state.Version), " ", "") + ")"
	return nil
}

// speaksTLS reports whether a word in clear text would be lost on the client.
func (g *guard) speaksTLS() bool { return g.peer.service == Submissions && !g.peer.tls }
