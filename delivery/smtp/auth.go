package smtp

import (
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/emersion/go-sasl"
)

// login authenticates if the target has credentials (RFC 4954).
func (s *session) login(t *Target) *Error {
	if t.Auth == nil {
		return nil
	}
	if !s.verified && !t.AllowPlainAuth {
		return s.noLogin(errors.New("will not send a password to a host without a verified certificate"))
	}
	mechanism := s.mechanism(t.Auth)
	if mechanism == nil {
		return s.noLogin(fmt.Errorf("host offers neither PLAIN nor LOGIN authentication, only %v", s.offers.auth))
	}
	r, err := s.converse(mechanism)
	if err != nil {
		return s.noLogin(err)
	}
	if r.class() != 2 {
		e := s.refusal(PhaseAuth, r)
		e.AuthFailure = true
		return e
	}
	return nil
}

func (s *session) noLogin(err error) *Error {
	e := s.failure(PhaseAuth, err)
	// A lost connection is the host's failure, not our login's.
	e.AuthFailure = s.wire.err == nil
	return e
}

// mechanism picks the better one of what both know.
func (s *session) mechanism(c *Credentials) sasl.Client {
	switch {
	case s.offers.offersAuth(sasl.Plain):
		return sasl.NewPlainClient("", c.Username, c.Password)
	case s.offers.offersAuth(sasl.Login):
		return &loginClient{answers: []string{c.Username, c.Password}}
	}
	return nil
}

// converse goes through the challenges up to the reply that ends them.
func (s *session) converse(c sasl.Client) (said, error) {
	name, first, err := c.Start()
	if err != nil {
		return said{}, fmt.Errorf("begin %s authentication: %w", name, err)
	}
	line := "AUTH " + name
	if first != nil {
		line += " " + encodeResponse(first)
	}
	for {
		r, err := s.wire.command(PhaseAuth, line)
		if err != nil || r.class() != 3 {
			return r, err
		}
		if line, err = respond(c, r); err != nil {
			// "*" cancels (RFC 4954 §4); the reply to it says nothing more.
			_, cancelErr := s.wire.command(PhaseAuth, "*")
			return said{}, errors.Join(err, cancelErr)
		}
	}
}

func respond(c sasl.Client, r said) (string, error) {
	var challenge []byte
	if len(r.lines) > 4 {
		b, err := base64.StdEncoding.DecodeString(string(r.lines[4:]))
		if err != nil {
			return "", fmt.Errorf("decode challenge of the host: %w", err)
		}
		challenge = b
	}
	response, err := c.Next(challenge)
	if err != nil {
		return "", fmt.Errorf("answer challenge of the host: %w", err)
	}
	return encodeResponse(response), nil
}

func encodeResponse(b []byte) string {
	if len(b) == 0 {
		return "="
	}
	return base64.StdEncoding.EncodeToString(b)
}

// loginClient answers LOGIN's two questions in order, whatever their wording:
// hosts differ in it, and not all take the name together with the command.
type loginClient struct {
	answers []string
}

// Start implements sasl.Client.
func (l *loginClient) Start() (mechanism string, response []byte, err error) {
	return sasl.Login, nil, nil
}

// Next implements sasl.Client.
func (l *loginClient) Next([]byte) ([]byte, error) {
	if len(l.answers) == 0 {
		return nil, sasl.ErrUnexpectedServerChallenge
	}
	answer := l.answers[0]
	l.answers = l.answers[1:]
	return []byte(answer), nil
}
