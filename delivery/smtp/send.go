package smtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"
)

// job is one Send: a transaction's recipients at one host address.
type job struct {
	c      *Client
	t      *Target
	tx     *Transaction
	rep    *Report
	budget time.Time
	// pending are the recipients a transaction may still be made for.
	pending  []int
	accepted []int
	// unasked says that the host's limit left recipients for a further transaction.
	unasked bool
	env     envelope
}

// Send hands the message to the host address and reports. It uses an idle
// connection made under the same conditions if there is one. It returns soon after
// ctx ends, with an Error that wraps its cause; a connection lost that way after
// the final dot leaves the Report doubtful.
func (c *Client) Send(ctx context.Context, t Target, tx *Transaction) *Report {
	began := c.opts.Now()
	j := &job{
		c: c, t: &t, tx: tx, budget: time.Now().Add(c.opts.Timeouts.Total),
		rep:     &Report{Results: make([]RecipientResult, len(tx.Recipients))},
		pending: make([]int, len(tx.Recipients)), accepted: make([]int, 0, len(tx.Recipients)),
	}
	for i := range j.pending {
		j.pending[i] = i
	}
	j.run(ctx)
	j.explain()
	j.rep.Took = c.opts.Now().Sub(began)
	return j.rep
}

// run makes transactions until nothing is pending or nothing moves.
func (j *job) run(ctx context.Context) {
	var s *session
	fresh := false
	for len(j.pending) > 0 && j.rep.Err == nil {
		if s == nil {
			if s, j.rep.Err = j.acquire(ctx, fresh); j.rep.Err != nil {
				return
			}
			fresh = false
		}
		before := len(j.pending)
		err := j.transact(s)
		if s.reused && stale(err) {
			s.detach()
			s.wire.cut()
			s, fresh = nil, true
			continue
		}
		s.reused = false // whatever fails now is no matter of age
		j.rep.Err = err
		if len(j.pending) == before || len(j.accepted) == 0 && !j.unasked {
			break
		}
		if !s.usable() {
			j.c.release(s)
			s = nil
		}
	}
	if s != nil {
		j.c.release(s)
	}
}

// acquire takes an idle connection or, if there is none or fresh demands it, opens
// one.
func (j *job) acquire(ctx context.Context, fresh bool) (*session, *Error) {
	if ctx.Err() != nil {
		return nil, &Error{Phase: PhaseDial, Host: j.t.label(), Err: givenUp(ctx)}
	}
	if !fresh {
		if s := j.c.pool.take(keyOf(j.t)); s != nil {
			s.reused = true
			s.detach = s.wire.attach(ctx, j.budget)
			j.rep.TLS, j.rep.Reused = s.tls, true
			return s, nil
		}
	}
	s, err := j.c.open(ctx, j.t, j.budget)
	j.rep.TLS, j.rep.Reused = s.tls, false
	return s, err
}

// release keeps the connection for the next message, or ends it.
func (c *Client) release(s *session) {
	if !s.detach() || s.wire.err != nil {
		s.wire.cut()
		return
	}
	if s.spent() || c.opts.Now().Sub(s.born) >= c.opts.MaxAge || !c.pool.put(s) {
		s.end()
	}
}

// stale reports whether a kept connection turned out to have been closed by the
// host: nothing was attempted then.
func stale(err *Error) bool {
	if err == nil || err.Phase != PhaseMail {
		return false
	}
	return err.closing() || err.Reply == nil && isClosed(err.Err)
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// transact makes one transaction for pending recipients. Afterwards those are
// pending for which another might do.
func (j *job) transact(s *session) *Error {
	j.accepted = j.accepted[:0]
	refused := j.refuse(&s.offers)
	var env *envelope
	if refused == nil {
		env, refused = j.compose(&s.offers)
	}
	if refused != nil {
		return &Error{Phase: PhaseMail, Host: s.host, Reply: refused}
	}
	if len(env.rcpts) == 0 {
		return nil
	}
	if err := s.reset(); err != nil {
		return err
	}
	s.messages++
	if err := j.sayEnvelope(s, env); err != nil {
		return err
	}
	if len(j.accepted) == 0 {
		s.engine.forgo(0)
		return nil
	}
	return j.sayContent(s)
}

// reset ends a transaction that was left before its end.
func (s *session) reset() *Error {
	if !s.dirty {
		return nil
	}
	r, err := s.wire.command(PhaseMail, "RSET")
	if err != nil {
		return s.failure(PhaseMail, err)
	}
	if r.class() != 2 {
		return s.refusal(PhaseMail, r)
	}
	s.dirty = false
	return nil
}

// sayEnvelope says MAIL and RCPTs and sorts the recipients.
func (j *job) sayEnvelope(s *session, env *envelope) *Error {
	var closing *Error
	putOff := 0
	mail, phase, err := s.engine.envelope(env, func(n int, r said) bool {
		i := env.rcpts[n].index
		switch {
		case r.code == 421:
			closing = s.refusal(PhaseRcpt, r)
			return false
		case r.class() == 2:
			j.accepted = append(j.accepted, i)
		case isTooMany(r):
			j.rep.Results[i].Reply = tooMany(r)
			putOff++
			// The host has said it often enough; what is left waits for the
			// next transaction.
			return len(j.accepted) == 0 || putOff < enoughRefusals
		default:
			j.settle(s, i, verdict(r))
		}
		return true
	})
	s.dirty = err == nil && mail.class() == 2
	switch {
	case err != nil:
		return s.failure(phase, err)
	case mail.class() != 2:
		return j.mailRefused(s, mail)
	case closing != nil:
		s.wire.fail(errClosing)
		return closing
	}
	return nil
}

// enoughRefusals is how many recipients in one transaction are put off as too many
// before we believe it.
const enoughRefusals = 3

// mailRefused: a permanent refusal of MAIL is one of every recipient.
func (j *job) mailRefused(s *session, r said) *Error {
	e := s.refusal(PhaseMail, r)
	if r.class() == 5 {
		for _, i := range j.pending {
			j.rep.Results[i] = RecipientResult{Done: true, Reply: *e.Reply, DSN: s.offers.dsn}
		}
		j.pending = j.pending[:0]
	}
	if e.closing() {
		s.wire.fail(errClosing)
	}
	return e
}

// sayContent says DATA and sends the message.
func (j *job) sayContent(s *session) *Error {
	body, err := j.tx.Open()
	if err != nil {
		s.engine.forgo(len(j.accepted))
		e := s.failure(PhaseData, fmt.Errorf("open message: %w", err))
		e.Local = true
		return e
	}
	onData := j.tx.OnData
	if onData == nil {
		onData = func() {}
	}
	r, phase, err := s.engine.content(body, onData)
	closeErr := body.Close()
	if err != nil {
		return j.contentLost(s, phase, err)
	}
	if closeErr != nil {
		j.c.opts.Logger.Warn("closing a message after sending it failed", "host", s.host, "error", closeErr)
	}
	return j.contentAnswered(s, r, phase)
}

// contentLost deals with an end of the connection, or of the message, that is no
// reply.
func (j *job) contentLost(s *session, phase Phase, err error) *Error {
	e := s.failure(phase, err)
	if phase == PhaseBody && s.wire.err == nil {
		// The connection is in order, so it was the message. Ending with a dot here
		// would deliver half of it.
		e.Err, e.Local = fmt.Errorf("read message: %w", err), true
		s.wire.fail(e.Err)
		return e
	}
	j.rep.Doubtful = phase == PhaseFinal
	return e
}

// contentAnswered deals with the reply that ended the transaction: it is for all
// accepted recipients (RFC 5321 §3.3).
func (j *job) contentAnswered(s *session, r said, phase Phase) *Error {
	switch {
	case r.code == 421:
		s.wire.fail(errClosing)
		return s.refusal(phase, r)
	case phase == PhaseData && r.class() == 2:
		// It is waiting for nothing now, and we would send it mail as commands.
		return s.failure(phase, s.wire.fail(fmt.Errorf("host granted DATA with %d", r.code)))
	case phase == PhaseData && r.class() != 5:
		return s.refusal(phase, r)
	}
	s.dirty = phase != PhaseFinal
	v := verdict(r)
	for _, i := range j.accepted {
		j.settle(s, i, v)
	}
	if phase == PhaseData {
		return s.refusal(phase, r)
	}
	return nil
}

// settle gives a recipient the host's word on it.
func (j *job) settle(s *session, i int, r Reply) {
	j.rep.Results[i] = RecipientResult{Done: true, Reply: r, DSN: s.offers.dsn}
	if n := slices.Index(j.pending, i); n >= 0 {
		j.pending = slices.Delete(j.pending, n, n+1)
	}
}
