package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// session is an open dialogue with one host address, ready for MAIL.
type session struct {
	wire   *wire
	key    poolKey
	host   string // name and address, for errors
	offers offers
	engine transactor
	detach func() bool

	tls       string // verdict, see Report.TLS
	encrypted bool
	verified  bool

	born     time.Time
	messages int
	max      int
	reused   bool
	// dirty says that a transaction was begun and not ended: RSET comes first.
	dirty bool
	idle  *time.Timer
}

// label names a host in errors.
func (t *Target) label() string {
	if t.Host == "" || strings.HasPrefix(t.Host, "[") {
		return t.Address.String()
	}
	return fmt.Sprintf("%s[%s]:%d", t.Host, t.Address.Addr(), t.Address.Port())
}

// open makes a new session. The session returned with an error is dead and has the
// TLS verdict only.
func (c *Client) open(ctx context.Context, t *Target, budget time.Time) (*session, *Error) {
	why := ""
	if t.TLS == TLSOpportunistic && !t.ImplicitTLS {
		why, _ = c.broken.look(t.Address, c.opts.Now())
	}
	s, err := c.establish(ctx, t, budget, why)
	if err == nil || why != "" || !s.mayFallBack(t, err) {
		return s, err
	}
	// RFC 7435 §3: the clear text of a new connection, for no peer can be trusted
	// to be in order after a failed handshake.
	why = fmt.Sprintf("%s failed: %s", err.Phase, err.cause())
	s, err = c.establish(ctx, t, budget, why)
	if err == nil {
		c.broken.add(t.Address, why, c.opts.Now())
		c.opts.Logger.Info("TLS does not work, delivering in the clear", "host", t.label(), "reason", why)
	}
	return s, err
}

// mayFallBack reports whether only TLS failed and the mode allows to do without.
func (s *session) mayFallBack(t *Target, err *Error) bool {
	if t.TLS != TLSOpportunistic || t.ImplicitTLS || err.cancelled() || errors.Is(err.Err, errInjected) {
		return false
	}
	switch err.Phase {
	case PhaseStartTLS, PhaseHandshake:
		return true
	case PhaseHello:
		return s.encrypted && err.Reply == nil
	}
	return false
}

// establish goes from dialling to the point where MAIL may be said. plain, if not
// empty, is why STARTTLS is not to be tried.
func (c *Client) establish(ctx context.Context, t *Target, budget time.Time, plain string) (*session, *Error) {
	s := &session{host: t.label(), key: keyOf(t), max: t.maxMessages(), born: c.opts.Now(), detach: func() bool { return true }}
	conn, err := c.dial(ctx, t, budget)
	if err != nil {
		if ctx.Err() != nil {
			err = givenUp(ctx)
		}
		return s, s.failure(PhaseDial, err)
	}
	s.wire = newWire(conn, c)
	s.detach = s.wire.attach(ctx, budget)
	if e := s.introduce(ctx, t, &c.opts, plain); e != nil {
		s.end()
		return s, e
	}
	if s.offers.pipelining {
		s.engine = &pipeline{wire: s.wire, offers: &s.offers}
	} else if s.engine, err = newLockstep(s.wire, t.Hello, &s.offers); err != nil {
		s.end()
		return s, s.failure(PhaseHello, err)
	}
	return s, nil
}

func (c *Client) dial(ctx context.Context, t *Target, budget time.Time) (net.Conn, error) {
	ctx, cancel := context.WithDeadline(ctx, budget)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, c.opts.Timeouts.Connect)
	defer cancel()
	dial := c.opts.DialContext
	if dial == nil {
		d := net.Dialer{}
		if t.LocalAddr.IsValid() {
			d.LocalAddr = &net.TCPAddr{IP: t.LocalAddr.AsSlice(), Zone: t.LocalAddr.Zone()}
		}
		dial = d.DialContext
	}
	conn, err := dial(ctx, "tcp", t.Address.String())
	if err != nil {
		return nil, err
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Our writes are whole already; waiting for more costs 40 ms against a
		// delayed acknowledgement.
		if err := tcp.SetNoDelay(true); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

// introduce says hello in the order that the target's TLS mode demands, and logs in.
func (s *session) introduce(ctx context.Context, t *Target, o *Options, plain string) *Error {
	if t.ImplicitTLS {
		if e := s.encrypt(ctx, t, o); e != nil {
			return e
		}
	}
	if e := s.greeting(t); e != nil {
		return e
	}
	if e := s.hello(t); e != nil {
		return e
	}
	if !s.encrypted {
		if e := s.startTLS(ctx, t, o, plain); e != nil {
			return e
		}
	}
	return s.login(t)
}

// greeting reads the host's first words (RFC 5321 §3.1).
func (s *session) greeting(t *Target) *Error {
	s.wire.begin(PhaseGreeting)
	r, err := s.wire.answer(s.wire.exchange())
	if err != nil {
		return s.failure(PhaseGreeting, err)
	}
	if r.class() != 2 {
		return s.refusal(PhaseGreeting, r)
	}
	return s.checkLoop(PhaseGreeting, r, t)
}

// hello says EHLO, and HELO to hosts that refuse it (RFC 5321 §3.2).
func (s *session) hello(t *Target) *Error {
	r, err := s.wire.command(PhaseHello, "EHLO "+t.Hello)
	extended := err == nil && r.class() == 2
	if err == nil && r.class() == 5 && !takesNoMail(r.code) {
		r, err = s.wire.command(PhaseHello, "HELO "+t.Hello)
	}
	if err != nil {
		return s.failure(PhaseHello, err)
	}
	if r.class() != 2 {
		return s.refusal(PhaseHello, r)
	}
	s.offers = offers{}
	if extended {
		s.offers = parseOffers(string(r.lines))
	}
	if m := s.offers.mailMax; m > 0 && m < s.max {
		s.max = m
	}
	return s.checkLoop(PhaseHello, r, t)
}

// checkLoop compares the name the host gives first in its reply with ours.
func (s *session) checkLoop(p Phase, r said, t *Target) *Error {
	if len(r.lines) < 5 || t.Hello == "" {
		return nil
	}
	words := strings.FieldsFunc(string(r.lines[4:]), func(c rune) bool { return c == ' ' || c == '\n' || c == '\t' })
	if len(words) == 0 || !strings.EqualFold(strings.TrimSuffix(words[0], "."), strings.TrimSuffix(t.Hello, ".")) {
		return nil
	}
	reply := ours("5.4.6", fmt.Sprintf("mail loops back to myself: %s gives my own name %s", s.host, t.Hello))
	return &Error{Phase: p, Host: s.host, Reply: &reply, Loop: true}
}

// errInjected says that somebody added clear text to what TLS was to protect
// (CVE-2011-0411): no reason to go on in the clear.
var errInjected = errors.New("clear text came after the reply to STARTTLS")

// startTLS encrypts where mode and host ask for it (RFC 3207).
func (s *session) startTLS(ctx context.Context, t *Target, o *Options, plain string) *Error {
	switch {
	case t.TLS == TLSNone:
		s.tls = "none (not wanted)"
		return nil
	case plain != "":
		s.tls = "none (" + plain + ")"
		return nil
	case !s.offers.startTLS:
		s.tls = "none (not offered)"
		if t.TLS == TLSOpportunistic {
			return nil
		}
		reply := ours("4.7.4", "TLS is required, but "+s.host+" does not offer it")
		return &Error{Phase: PhaseStartTLS, Host: s.host, Reply: &reply}
	}
	r, err := s.wire.command(PhaseStartTLS, "STARTTLS")
	switch {
	case err != nil:
		s.tls = "none (STARTTLS failed: " + err.Error() + ")"
		return s.failure(PhaseStartTLS, err)
	case r.class() != 2:
		e := s.refusal(PhaseStartTLS, r)
		s.tls = "none (STARTTLS failed: " + e.cause() + ")"
		return e
	case s.wire.replies.r.Buffered() > 0:
		s.tls = "none (STARTTLS failed: " + errInjected.Error() + ")"
		return s.failure(PhaseStartTLS, s.wire.fail(errInjected))
	}
	if e := s.encrypt(ctx, t, o); e != nil {
		return e
	}
	// What was offered in the clear is forgotten (RFC 3207 §4.2).
	return s.hello(t)
}

func (s *session) encrypt(ctx context.Context, t *Target, o *Options) *Error {
	if err := s.handshake(ctx, t, o); err != nil {
		s.tls = "none (handshake failed: " + handshakeReason(err) + ")"
		return s.failure(PhaseHandshake, err)
	}
	return nil
}

func handshakeReason(err error) string {
	var ce *CertificateError
	var rh tls.RecordHeaderError
	switch {
	case errors.As(err, &ce):
		return reason(err)
	case errors.As(err, &rh):
		return "not TLS"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	}
	return err.Error()
}

// failure is the Error of a wait that ended without a reply.
func (s *session) failure(p Phase, err error) *Error {
	return &Error{Phase: p, Host: s.host, Err: err}
}

// refusal is the Error of a reply that is not what was asked for.
func (s *session) refusal(p Phase, r said) *Error {
	reply := r.reply()
	return &Error{Phase: p, Host: s.host, Reply: &reply, PermanentHost: p <= PhaseHello && takesNoMail(r.code)}
}

// takesNoMail knows the codes of hosts that never accept mail (RFC 7504).
func takesNoMail(code int) bool { return code == 521 || code == 556 }

// usable reports whether another transaction may follow on the session.
func (s *session) usable() bool { return s.wire.err == nil && !s.spent() }

func (s *session) spent() bool { return s.messages >= s.max }

// end says QUIT where that can be heard, waits for no reply and closes.
func (s *session) end() {
	s.detach()
	if s.wire.err == nil && s.wire.conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		// Nothing depends on it: the connection closes either way.
		_, _ = s.wire.conn.Write([]byte("QUIT\r\n"))
	}
	s.wire.cut()
}
