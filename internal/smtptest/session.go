package smtptest

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"io"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// session is one client of a Sink.
type session struct {
	sink *Sink
	conn *smtp.Conn
	n    int
	user string
	m    Message
}

func (s *Sink) newSession(c *smtp.Conn) (smtp.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	return &session{sink: s, conn: c, n: s.sessions}, nil
}

// Reset implements smtp.Session.
func (s *session) Reset() { s.m = Message{} }

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	if s.sink.opts.Users != nil && s.user == "" {
		return &smtp.SMTPError{Code: 530, EnhancedCode: smtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	_, encrypted := s.conn.TLSConnectionState()
	s.m = Message{From: from, Mail: *opts, TLS: encrypted, Hello: s.conn.Hostname(), User: s.user, Session: s.n}
	if s.sink.opts.OnMail != nil {
		return s.sink.opts.OnMail(&s.m)
	}
	return nil
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	if s.sink.opts.OnRcpt != nil {
		if err := s.sink.opts.OnRcpt(&s.m, to, len(s.m.To)); err != nil {
			return err
		}
	}
	s.m.To = append(s.m.To, Recipient{Address: to, Options: *opts})
	return nil
}

// Data implements smtp.Session.
func (s *session) Data(r io.Reader) error {
	if err := s.read(r); err != nil {
		return err
	}
	var err error
	if s.sink.opts.OnData != nil {
		err = s.sink.opts.OnData(&s.m)
	}
	var reply *smtp.SMTPError
	if err == nil || errors.As(err, &reply) && reply.Code/100 == 2 {
		s.sink.keep(&s.m)
	}
	return err
}

func (s *session) read(r io.Reader) (err error) {
	if s.sink.opts.Discard {
		s.m.Size, err = io.Copy(io.Discard, r)
		return err
	}
	var b bytes.Buffer
	s.m.Size, err = b.ReadFrom(r)
	s.m.Data = b.Bytes()
	return err
}

// AuthMechanisms implements smtp.AuthSession.
func (s *session) AuthMechanisms() []string {
	switch {
	case s.sink.opts.Users == nil:
		return nil
	case s.sink.opts.Mechanisms != nil:
		return s.sink.opts.Mechanisms
	}
	return []string{sasl.Plain, sasl.Login}
}

// Auth implements smtp.AuthSession.
func (s *session) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return s.check(user, password) }), nil
	case sasl.Login:
		return &loginServer{check: s.check}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (s *session) check(user, password string) error {
	want, ok := s.sink.opts.Users[user]
	if !ok || subtle.ConstantTimeCompare([]byte(want), []byte(password)) == 0 {
		return smtp.ErrAuthFailed
	}
	s.user = user
	return nil
}

// loginServer asks the two questions of LOGIN.
type loginServer struct {
	check func(user, password string) error
	asked int
	user  string
}

// Next implements sasl.Server.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.asked++
	switch l.asked {
	case 1:
		return []byte("Username:"), false, nil
	case 2:
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}
