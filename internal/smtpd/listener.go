package smtpd

import (
	"net"
	"sync"
	"time"
)

// reserved is the part of the TCP connections, one in so many, that is kept for hosts
// that may relay: whatever strangers do, this host's programs and its own networks
// get through.
const reserved = 5

// admission counts the connections of listeners that share their limits.
type admission struct {
	max, perClient int

	mu       sync.Mutex
	total    int
	strange  int // of total, those of strangers
	byClient map[string]int
}

// enter admits a client, or says why not.
func (a *admission) enter(p *peer) (refusal string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.max > 0 && (a.total >= a.max || p.stranger() && a.strange >= a.max-a.max/reserved):
		return "421 4.3.2 Too many connections, try again later"
	case a.perClient > 0 && !p.exempt() && a.byClient[p.key] >= a.perClient:
		return "421 4.7.0 Too many connections from you, try again later"
	}
	a.total++
	if p.stranger() {
		a.strange++
	}
	a.byClient[p.key]++
	return ""
}

func (a *admission) leave(p *peer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	if p.stranger() {
		a.strange--
	}
	if a.byClient[p.key]--; a.byClient[p.key] <= 0 {
		delete(a.byClient, p.key)
	}
}

// listener puts a guard before each connection it admits.
type listener struct {
	net.Listener
	srv     *Server
	admit   *admission
	service Service
}

// Accept implements net.Listener for the engine.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		p, err := l.describe(c)
		if err != nil {
			l.srv.opts.Logger.Error("connection dropped", "error", err)
			c.Close()
			continue
		}
		if refusal := l.admit.enter(p); refusal != "" {
			l.turnAway(c, p, refusal)
			continue
		}
		if g := l.srv.join(c, p, l.admit); g != nil {
			return g, nil
		}
	}
}

func (l *listener) describe(c net.Conn) (*peer, error) {
	if u, ok := c.(*net.UnixConn); ok {
		return socketPeer(u, l.srv.opts.CommandName)
	}
	p := networkPeer(c, l.service)
	p.trusted = l.srv.opts.Intake.MayRelay(p.origin)
	return p, nil
}

// turnAway says one line that fits any fresh socket's buffer, and never waits.
func (l *listener) turnAway(c net.Conn, p *peer, refusal string) {
	defer c.Close()
	l.srv.opts.Logger.Warn("connection refused", "client", p.String(), "reply", refusal)
	if p.service == Submissions { // a line in clear text would say nothing
		return
	}
	c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
	c.Write([]byte(refusal + "\r\n"))
}
