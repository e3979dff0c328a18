package bounce

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"postrider/delivery/dsn"
	"postrider/internal/address"
	"postrider/internal/message"
	"postrider/queue"
)

// headerEnough bounds what is read of a message of which only the header
// returns; it is more than a report ever repeats.
const headerEnough = 128 << 10

// outgoing is a report to be made.
type outgoing struct {
	kind       dsn.Kind
	queueKind  queue.Kind
	to         address.Address
	owner      bool // to is a list's owner, not the sender
	people     []standing
	settlement queue.Settlement
	full       bool // the whole message returns
	lifetime   time.Duration
}

// failure tells of what failed.
func (b *Reporter) failure(d *due, p *party) outgoing {
	env := d.entry.Message.Envelope
	return outgoing{
		kind:       dsn.Failed,
		queueKind:  queue.Report,
		to:         p.to,
		owner:      p.owner,
		people:     p.failed,
		settlement: queue.Settlement{Recipients: indexes(p.failed)},
		// RFC 8689 §5: what was to travel under TLS does not come back whole. What the
		// sender wants returned says nothing for a list's owner (RFC 3461 §5.2.7.1).
		full:     (p.owner || env.Ret != queue.RetHeaders) && !env.RequireTLS && d.entry.Message.Size <= b.o.MaxReturn,
		lifetime: b.o.BounceLifetime,
	}
}

// success tells of what arrived, as the sender asked.
func (b *Reporter) success(p *party) outgoing {
	return outgoing{
		kind:       dsn.Delivered,
		queueKind:  queue.Report,
		to:         p.to,
		owner:      p.owner,
		people:     p.passed,
		settlement: queue.Settlement{Recipients: indexes(p.passed)},
		lifetime:   b.o.BounceLifetime,
	}
}

// notice tells of who is still waiting.
func (b *Reporter) notice(p *party, last bool) outgoing {
	return outgoing{
		kind:       dsn.Delayed,
		queueKind:  queue.Report,
		to:         p.to,
		owner:      p.owner,
		people:     p.waiting,
		settlement: queue.Settlement{Notified: last},
		lifetime:   b.o.BounceLifetime,
	}
}

// copyToPostmaster is the last resort of a report that failed.
func (b *Reporter) copyToPostmaster(ctx context.Context, d *due) error {
	return b.send(ctx, d, outgoing{
		kind:       dsn.Failed,
		queueKind:  queue.PostmasterCopy,
		to:         b.o.Postmaster,
		people:     d.failed,
		settlement: queue.Settlement{Recipients: indexes(d.failed, d.passed, d.unwanted)},
		full:       !d.entry.Message.Envelope.RequireTLS && d.entry.Message.Size <= b.o.MaxReturn,
		lifetime:   b.o.Lifetime,
	})
}

// send makes the report and commits it with its settlement.
func (b *Reporter) send(ctx context.Context, d *due, o outgoing) error {
	draft, err := b.store.Create(ctx)
	if err != nil {
		return fmt.Errorf("create report: %w", err)
	}
	r, err := b.write(ctx, draft, d, o)
	if err != nil {
		// What is left of the draft is swept up; the first error tells more.
		_ = draft.Abort()
		return fmt.Errorf("compose report: %w", err)
	}
	s := o.settlement
	s.Message, s.Now = d.entry.Message.ID, d.now
	s.Destinations = []string{b.o.Destination(address.Address{}, o.to)}
	s.Note = fmt.Sprintf("%s: %s told in %s", o.kind, o.to, draft.ID())
	id, err := b.store.Settle(ctx, s, draft, b.envelope(d, o, r))
	if err != nil {
		_ = draft.Abort()
		return fmt.Errorf("commit report: %w", err)
	}
	b.log.InfoContext(ctx, "report queued", "id", d.entry.Message.ID, "report", id, "kind", o.kind.String(), "to", o.to.String(), "recipients", len(o.people))
	return nil
}

// envelope is what the queue keeps of the report. NOTIFY stays absent (RFC 3461
// §6.1 allows that or NEVER), so that we hear when it fails.
func (b *Reporter) envelope(d *due, o outgoing, r *dsn.Report) *queue.Message {
	body := queue.Body7Bit
	if r.EightBit() {
		body = queue.Body8BitMIME
	}
	return &queue.Message{
		Envelope: queue.Envelope{
			Body:     body,
			SMTPUTF8: r.SMTPUTF8,
			// RFC 8689 §5 has it carry on, without being lost for it.
			RequireTLS: d.entry.Message.Envelope.RequireTLS,
		},
		Recipients: []queue.Recipient{{Address: o.to}},
		Origin:     queue.Origin{Via: queue.ViaInternal, UID: queue.NoUID},
		Kind:       o.queueKind,
		MessageID:  r.MessageID,
		Arrival:    d.now,
		Expires:    d.now.Add(o.lifetime),
		Reports:    d.entry.Message.ID,
	}
}

// write composes the report into the draft.
func (b *Reporter) write(ctx context.Context, draft queue.Draft, d *due, o outgoing) (*dsn.Report, error) {
	r := b.report(draft.ID(), d, o)
	if err := b.survey(ctx, r, d.entry.Message.ID); err != nil {
		return nil, err
	}
	body, err := b.store.Body(ctx, d.entry.Message.ID)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	w := bufio.NewWriterSize(draft, 32<<10)
	trace := message.Trace{Hostname: b.o.Hostname, ID: draft.ID().String(), Date: d.now, UID: queue.NoUID}
	if _, err := io.WriteString(w, message.Received(trace)); err != nil {
		return nil, err
	}
	if err := r.Compose(w, body); err != nil {
		return nil, err
	}
	return r, w.Flush()
}

// survey reads as much of the message as will be returned.
func (b *Reporter) survey(ctx context.Context, r *dsn.Report, id queue.ID) error {
	body, err := b.store.Body(ctx, id)
	if err != nil {
		return err
	}
	defer body.Close()
	var in io.Reader = body
	if r.Return == dsn.Headers {
		in = io.LimitReader(body, headerEnough)
	}
	r.Original, err = dsn.Survey(in)
	return err
}

// report fills in the facts.
func (b *Reporter) report(id queue.ID, d *due, o outgoing) *dsn.Report {
	m := d.entry.Message
	r := &dsn.Report{
		Kind:        o.kind,
		From:        address.Address{Local: "MAILER-DAEMON", Domain: b.o.Origin},
		To:          o.to,
		MessageID:   fmt.Sprintf("<%s.%s@%s>", d.now.UTC().Format("20060102150405"), id, b.o.Hostname),
		Date:        d.now,
		Hostname:    b.o.Hostname,
		ArrivalDate: m.Arrival,
		EnvID:       m.Envelope.EnvID,
		QueueID:     m.ID.String(),
		InReplyTo:   m.MessageID,
		SMTPUTF8:    m.Envelope.SMTPUTF8 || !isASCII(o.to.String()),
		Postmaster:  o.queueKind == queue.PostmasterCopy,
		ListOwner:   o.owner,
	}
	if o.owner {
		r.EnvID = "" // the sender's, who sent to the list and not to these (RFC 3461 §5.2.7.1)
	}
	if o.full {
		r.Return = dsn.Full
	}
	for _, s := range o.people {
		r.Recipients = append(r.Recipients, s.describe(m))
	}
	return r
}

// describe tells of one recipient.
func (s standing) describe(m *queue.Message) dsn.Recipient {
	p := dsn.Recipient{
		Address:     s.recipient.Address,
		Original:    s.recipient.Original,
		Action:      dsn.Delayed,
		Status:      s.state.Status,
		Remote:      s.state.Remote,
		Diagnostic:  s.state.Reply,
		LastAttempt: s.lastAttempt,
		FinalLog:    m.ID.String(),
	}
	switch s.state.Result {
	case queue.Failed:
		p.Action = dsn.Failed
	case queue.Delivered:
		p.Action = dsn.Delivered
	case queue.Relayed:
		p.Action = dsn.Relayed
	case queue.Expanded, queue.Merged:
		p.Action = dsn.Expanded
		if s.isList(m) {
			p.Action = dsn.Delivered
		}
	default:
		p.WillRetryUntil = m.Expires
	}
	if len(s.recipient.Via) > 0 {
		p.Written = s.recipient.Via[0]
	}
	if p.Remote == "" && p.Action != dsn.Failed && p.Action != dsn.Delayed {
		p.Diagnostic = "" // where a mailbox is, or who is on a list, is nobody's business
	}
	return p
}

// isList tells whether those that the recipient was expanded to have an owner of
// their own: for the sender the message has arrived then (RFC 3461 §5.2.7.1).
func (s standing) isList(m *queue.Message) bool {
	return slices.ContainsFunc(m.Recipients, func(r queue.Recipient) bool {
		return r.ReversePath != nil && (s.recipient.ReversePath == nil || *r.ReversePath != *s.recipient.ReversePath) &&
			slices.ContainsFunc(r.Via, s.recipient.Address.Equal)
	})
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
