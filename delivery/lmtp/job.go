package lmtp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"postrider/queue"
)

// job is one Deliver.
type job struct {
	target   Target
	envelope *Envelope
	open     func() (io.ReadCloser, error)
	log      *slog.Logger
	outcomes []Outcome
	// pending are the recipients a transaction may still be made for, and tooMany
	// is what those were told last that were put off because they were too many.
	pending []int
	tooMany *Outcome
}

// run makes transactions until nothing is pending or nothing moves. Who has no
// outcome then shares the reason why.
func (j *job) run(ctx context.Context, c *Client) {
	s, err := c.connect(ctx, j.target)
	if err != nil {
		j.rest(unreachable(j.target, err))
		return
	}
	defer s.close()
	trouble := j.hello(s, c.Hostname)
	if trouble == nil {
		trouble = j.transactions(s)
	}
	if trouble != nil {
		j.rest(trouble)
	}
}

// rest gives an outcome to who has none.
func (j *job) rest(o *Outcome) {
	for i := range j.outcomes {
		if j.outcomes[i].Result == queue.Pending {
			j.outcomes[i] = *o
		}
	}
}

// hello goes from the store's first words to the point where MAIL may be said.
func (j *job) hello(s *session, name string) *Outcome {
	r, err := s.read(s.times.Command)
	switch {
	case err != nil:
		return lost(j.target, err, "greeting")
	case r.class() != 2:
		return refusal(j.target, r, "our connection")
	}
	if name == "" {
		name = "localhost"
	}
	r, err = s.ask("LHLO " + name)
	switch {
	case err != nil:
		return lost(j.target, err, "LHLO")
	case r.class() != 2:
		return refusal(j.target, r, "LHLO")
	}
	s.offers = parseOffers(r)
	if most := s.offers.most; most > 0 && j.envelope.Size > most {
		return failed("5.3.4", "message of "+strconv.FormatInt(j.envelope.Size, 10)+" bytes is larger than the "+strconv.FormatInt(most, 10)+" that the mail store takes")
	}
	return nil
}

// transactions makes one transaction after another. What it returns is why there
// cannot be more.
func (j *job) transactions(s *session) *Outcome {
	limit := len(j.pending)
	for len(j.pending) > 0 {
		batch := j.pending[:min(limit, len(j.pending))]
		accepted, tooMany, trouble := j.transact(s, batch)
		if trouble != nil {
			return trouble
		}
		if len(tooMany) > 0 {
			if accepted == 0 {
				return j.tooMany
			}
			limit = accepted
		}
		j.pending = append(tooMany, j.pending[len(batch):]...)
	}
	return nil
}

// transact makes one transaction. It returns how many recipients the store accepted,
// and which it put off because they were too many.
func (j *job) transact(s *session, batch []int) (accepted int, tooMany []int, trouble *Outcome) {
	if s.dirty {
		if r, err := s.ask("RSET"); err != nil {
			return 0, nil, lost(j.target, err, "RSET")
		} else if r.class() != 2 {
			return 0, nil, refusal(j.target, r, "RSET")
		}
	}
	granted, tooMany, trouble := j.sayEnvelope(s, batch)
	if trouble != nil || len(granted) == 0 {
		return 0, tooMany, trouble
	}
	return len(granted), tooMany, j.sayContent(s, granted)
}

// sayEnvelope says MAIL and RCPTs and sorts the recipients.
func (j *job) sayEnvelope(s *session, batch []int) (granted, tooMany []int, trouble *Outcome) {
	mail, refused := j.envelope.mail(s.offers)
	if refused != nil {
		return nil, nil, refused
	}
	commands, asked := []string{mail}, []int(nil)
	for _, i := range batch {
		rcpt, refused := j.envelope.Recipients[i].rcpt(s.offers)
		if refused != nil {
			j.outcomes[i] = *refused
			continue
		}
		commands, asked = append(commands, rcpt), append(asked, i)
	}
	if len(asked) == 0 {
		return nil, nil, nil
	}
	err := s.converse(commands, func(n int, r reply) bool {
		switch {
		case trouble != nil: // the group goes on to its end
		case n == 0 && r.class() != 2:
			trouble = mailRefused(j.target, r)
		case n == 0:
			s.dirty = true
		case r.code == 421:
			trouble = verdict(r, "RCPT")
		case r.class() == 2:
			granted = append(granted, asked[n-1])
		case isTooMany(r):
			tooMany = append(tooMany, asked[n-1])
			j.tooMany = verdict(r, "RCPT")
			j.tooMany.putOff(r)
		default:
			j.outcomes[asked[n-1]] = *verdict(r, "RCPT")
		}
		return trouble == nil
	})
	if err != nil && trouble == nil {
		trouble = lost(j.target, err, "MAIL and RCPT")
	}
	return granted, tooMany, trouble
}

// sayContent says DATA, sends the message and reads a reply for each recipient that
// was accepted (RFC 2033 §4.2).
func (j *job) sayContent(s *session, granted []int) *Outcome {
	body, err := j.open()
	if err != nil {
		return temporary("4.3.0", fmt.Sprintf("open message: %v", err))
	}
	defer func() {
		if err := body.Close(); err != nil {
			j.log.Warn("closing a message after handing it to the mail store failed", "error", err)
		}
	}()
	r, err := s.ask("DATA")
	switch {
	case err != nil:
		return lost(j.target, err, "DATA")
	case r.code == 421:
		return verdict(r, "DATA")
	case r.class() == 2:
		// It waits for nothing now, and we would send it mail as commands.
		return temporary("4.5.0", fmt.Sprintf("mail store %s granted DATA with %s", j.target, r))
	case r.class() != 3:
		for _, i := range granted {
			j.outcomes[i] = *verdict(r, "DATA")
		}
		return nil
	}
	onData := j.envelope.OnData
	if onData == nil {
		onData = func() {}
	}
	var own *sourceError
	var said wordsError
	switch err := s.content(body, onData); {
	case errors.As(err, &own):
		// Ending with a dot here would deliver half of it.
		return temporary("4.3.0", fmt.Sprintf("read message: %v", own.error))
	case errors.As(err, &said):
		return verdict(said.reply, "message content")
	case err != nil:
		return lost(j.target, err, "message content")
	}
	return j.hearRecipients(s, granted)
}

// hearRecipients reads the replies to the final dot.
func (j *job) hearRecipients(s *session, granted []int) *Outcome {
	for n, i := range granted {
		r, err := s.read(s.times.Final)
		if err != nil {
			return temporary("4.4.2", fmt.Sprintf("mail store %s replied for %d of %d recipients: %v; it may have the message for the others all the same", j.target, n, len(granted), err))
		}
		j.outcomes[i] = *verdict(r, "end of message")
	}
	if s.replies.r.Buffered() > 0 {
		j.log.Warn("the mail store sent more replies than it had accepted recipients; which belongs to whom is not certain", "store", j.target.String())
		return temporary("4.5.0", fmt.Sprintf("mail store %s: %v", j.target, errOutOfTurn))
	}
	s.dirty = false
	return nil
}
