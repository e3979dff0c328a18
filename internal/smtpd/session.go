package smtpd

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/emersion/go-smtp"

	"postrider/internal/address"
	"postrider/internal/submission"
)

// session is one client's dialogue. The engine calls Data on a goroutine of its
// own when the message comes in chunks, hence the mutex.
type session struct {
	srv   *Server
	conn  *smtp.Conn
	guard *guard

	mu sync.Mutex
	tx *submission.Submission // between MAIL and the end of the message
	// taken counts the messages accepted under the submission ID submitter.
	taken     int
	submitter string
}

func (s *Server) newSession(c *smtp.Conn) (smtp.Session, error) {
	g, ok := c.Conn().(*guard)
	if !ok {
		return nil, fmt.Errorf("connection %v has no guard", c.Conn().RemoteAddr())
	}
	return &session{srv: s, conn: c, guard: g}, nil
}

// Reset implements smtp.Session.
func (s *session) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tx = nil
}

// Logout implements smtp.Session.
func (s *session) Logout() error { return nil }

// Mail implements smtp.Session.
func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx != nil {
		return reply(503, "5.5.1", "Sender already given")
	}
	sub := &submission.Submission{}
	sub.Origin = s.guard.peer.origin
	if !s.guard.peer.local {
		sub.Origin.Hello, sub.Origin.User = s.conn.Hostname(), s.guard.user
		sub.Fixup = s.guard.user != "" // RFC 6409 §8
	}
	sub.Protocol = submission.Protocol{ESMTP: s.guard.extended, TLS: s.guard.peer.tls, UTF8: o.UTF8, Cipher: s.guard.peer.cipher}
	s.identify(sub)
	if err := envelopeOptions(&sub.Envelope, o); err != nil {
		return err
	}
	if from != "" {
		a, err := mailbox(from)
		if err != nil {
			return reply(553, "5.1.7", err.Error())
		}
		sub.Envelope.ReversePath = a
	}
	if err := s.srv.opts.Intake.CheckSender(sub.Origin, sub.Envelope.ReversePath); err != nil {
		return s.refusal(err)
	}
	s.tx = sub
	return nil
}

// identify tells our own sendmail program from others on the submission socket.
func (s *session) identify(sub *submission.Submission) {
	if !s.guard.peer.local {
		return
	}
	id, ok := parseSubmitLiteral(s.conn.Hostname())
	if !ok {
		sub.Fixup = true
		return
	}
	if id != s.submitter {
		s.submitter, s.taken = id, 0
	}
	sub.SubmissionID = id
	if s.taken > 0 { // another message, not the same one again
		sub.SubmissionID = fmt.Sprintf("%s.%d", id, s.taken)
	}
}

// localRecipients is the most for one message of a program of this host: as many
// as the queue lets a message grow to. What is held of them is memory.
const localRecipients = 100_000

func (s *session) maxRecipients() int {
	if s.guard.peer.local {
		return localRecipients
	}
	return s.srv.opts.MaxRecipients
}

// Rcpt implements smtp.Session.
func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tx == nil {
		return reply(503, "5.5.1", "Sender not given")
	}
	sub := s.tx
	if limit := s.maxRecipients(); limit > 0 && len(sub.Recipients) >= limit {
		return reply(452, "4.5.3", "Too many recipients, send the rest in another transaction")
	}
	a, err := mailbox(to)
	if err != nil {
		return reply(553, "5.1.3", err.Error())
	}
	a, err = s.srv.opts.Intake.CheckRecipient(sub.Origin, a)
	if err != nil {
		return s.refusal(err)
	}
	sub.Recipients = append(sub.Recipients, recipient(a, o, s.guard.orcpt))
	return nil
}

// Data implements smtp.Session. The reply it gives is a success in the shape of
// an error, since the engine has fixed words for the other kind.
func (s *session) Data(r io.Reader) error {
	s.srv.intake.RLock()
	defer s.srv.intake.RUnlock()
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	if tx == nil {
		return reply(503, "5.5.1", "Transaction was reset")
	}
	sub := *tx
	sub.Body = s.guard.message(r)
	id, err := s.srv.opts.Intake.Accept(s.srv.life, &sub)
	if err != nil {
		return s.refusal(err)
	}
	s.mu.Lock()
	s.taken++
	s.mu.Unlock()
	return reply(250, "2.0.0", "Ok: queued as "+id.String())
}

// mailbox reads an address from which the engine has removed the quotes.
func mailbox(s string) (address.Address, error) {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return address.FromUnquoted(s, "")
	}
	return address.FromUnquoted(s[:i], s[i+1:])
}

// refusal words an error of the intake for the client, and for the log with its
// cause.
func (s *session) refusal(err error) *smtp.SMTPError {
	e, ok := errors.AsType[*submission.Error](err)
	if !ok {
		e = &submission.Error{Code: 451, Status: "4.3.0", Text: "local error in processing, try again later", Err: err}
	}
	level := slog.LevelInfo
	if e.Temporary() {
		level = slog.LevelWarn
	}
	s.srv.opts.Logger.Log(s.srv.life, level, "refused", "client", s.guard.peer.String(),
		"code", e.Code, "status", e.Status, "error", e)
	return reply(e.Code, e.Status, e.Text)
}

func reply(code int, status, text string) *smtp.SMTPError {
	e := &smtp.SMTPError{Code: code, Message: strings.Map(visible, text)}
	class, rest, _ := strings.Cut(status, ".")
	subject, detail, _ := strings.Cut(rest, ".")
	for i, part := range [...]string{class, subject, detail} {
		n, err := strconv.Atoi(part)
		if err != nil {
			e.EnhancedCode = smtp.EnhancedCodeNotSet
			break
		}
		e.EnhancedCode[i] = n
	}
	return e
}

func visible(r rune) rune {
	if isControl(r) {
		return '?'
	}
	return r
}
