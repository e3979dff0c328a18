package smtpd

import (
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postrider/internal/logins"
)

const (
	scramSHA256 = "SCRAM-SHA-256" // RFC 7677
	// maxFailedLogins is how many a client may try over one connection.
	maxFailedLogins = 3
)

var errDenied = errors.New("credentials are wrong")

// authCommand lets AUTH through where it is offered (RFC 4954 §4).
func (g *guard) authCommand(line string) error {
	switch {
	case !g.peer.service.needsLogin():
		return g.refuse("502 5.5.1 AUTH is not offered here")
	case !g.peer.tls:
		return g.refuse("538 5.7.11 Must issue a STARTTLS command first")
	case !g.greeted:
		return g.refuse("503 5.5.1 Please introduce yourself first")
	}
	g.forward(line)
	return nil
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	if p := s.guard.peer; !p.service.needsLogin() || !p.tls {
		return nil
	}
	return []string{scramSHA256, sasl.Plain, sasl.Login}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	s.mu.Lock()
	inTransaction := s.tx != nil
	s.mu.Unlock()
	if inTransaction {
		return nil, reply(503, "5.5.1", "AUTH not allowed during a mail transaction")
	}
	a := &attempt{session: s, mechanism: mechanism}
	switch mechanism {
	case sasl.Plain:
		a.steps = sasl.NewPlainServer(a.verify)
	case sasl.Login:
		a.steps = &loginSteps{verify: a.verify}
	case scramSHA256:
		conversation, err := s.srv.opts.Logins.Conversation()
		if err != nil {
			return nil, a.unusable(err)
		}
		a.steps = &scramSteps{attempt: a, conversation: conversation}
	default:
		return nil, reply(504, "5.5.4", "Authentication mechanism is not offered")
	}
	return a, nil
}

// attempt is one login, from AUTH to its outcome.
type attempt struct {
	session   *session
	mechanism string
	steps     sasl.Server
	name      string // that the client gave
}

// Next implements sasl.Server.
func (a *attempt) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = a.steps.Next(response)
	if err == nil {
		if done {
			a.welcome()
		}
		return challenge, done, nil
	}
	if errors.Is(err, errDenied) {
		return nil, true, a.deny()
	}
	if answer, ok := errors.AsType[*smtp.SMTPError](err); ok {
		return nil, true, answer
	}
	return nil, true, reply(501, "5.5.2", "Malformed authentication response")
}

// verify checks a password that was sent.
func (a *attempt) verify(identity, name, password string) error {
	a.name = name
	ok, err := a.session.srv.opts.Logins.Verify(name, password)
	switch {
	case err != nil:
		return a.unusable(err)
	case !ok || identity != "" && identity != name:
		return errDenied
	}
	return nil
}

func (a *attempt) welcome() {
	g := a.session.guard
	g.user = a.name
	a.session.srv.opts.Logger.Info("logged in", "client", g.peer.String(), "login", a.name, "mechanism", a.mechanism)
}

// deny answers late, so that guessing takes time. A name that is no login is not
// logged: it may be a password, typed into the wrong field.
func (a *attempt) deny() error {
	srv := a.session.srv
	attrs := []slog.Attr{slog.String("client", a.session.guard.peer.String()), slog.String("mechanism", a.mechanism)}
	if srv.opts.Logins.Knows(a.name) {
		attrs = append(attrs, slog.String("login", a.name))
	}
	srv.opts.Logger.LogAttrs(srv.life, slog.LevelWarn, "authentication failed", attrs...)
	base := srv.opts.LoginDelay
	pause := time.NewTimer(base/2 + rand.N(base))
	defer pause.Stop()
	select {
	case <-pause.C:
	case <-srv.stopping.Done():
	}
	return reply(535, "5.7.8", "Authentication credentials invalid")
}

// unusable says that we cannot tell.
func (a *attempt) unusable(err error) error {
	a.session.srv.opts.Logger.Error("logins cannot be checked", "client", a.session.guard.peer.String(), "error", err)
	return reply(454, "4.7.0", "Temporary authentication failure")
}

// loginSteps is the server's side of LOGIN, which has no standard but many users.
type loginSteps struct {
	verify  func(identity, name, password string) error
	name    string
	hasName bool
}

// Next implements sasl.Server.
func (l *loginSteps) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case l.hasName:
		return nil, true, l.verify("", l.name, string(response))
	case response == nil:
		return []byte("Username:"), false, nil
	}
	l.name, l.hasName = string(response), true
	return []byte("Password:"), false, nil
}

// scramSteps is the server's side of SCRAM-SHA-256. SMTP has no room for the
// server's proof beside the success, so that it goes into a challenge, which the
// client answers with nothing (RFC 4422 §3.6).
type scramSteps struct {
	attempt      *attempt
	conversation *logins.Conversation
	steps        int
}

// Next implements sasl.Server.
func (s *scramSteps) Next(response []byte) (challenge []byte, done bool, err error) {
	if response == nil && s.steps == 0 {
		return nil, false, nil // the client begins
	}
	if s.steps == 2 {
		return nil, true, nil
	}
	s.steps++
	answer, err := s.conversation.Step(string(response))
	s.attempt.name = s.conversation.Name()
	switch {
	case s.conversation.Err() != nil:
		return nil, true, s.attempt.unusable(s.conversation.Err())
	case err != nil, s.steps == 2 && !s.conversation.Valid():
		return nil, true, errDenied
	}
	return []byte(answer), false, nil
}
