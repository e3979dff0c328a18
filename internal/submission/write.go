package submission

import (
	"errors"
	"io"
	"net/netip"

	"postrider/internal/message"
	"postrider/internal/sysexits"
	"postrider/policy"
	"postrider/queue"
)

// write streams the message, fixed up and with its trace field, into the draft,
// and notes in m what it learns of it on the way.
func (in *Intake) write(draft queue.Draft, s *Submission, m *queue.Message, rule *policy.SenderRule) (tooManyHops bool, err error) {
	o := in.messageOptions(s, m, draft.ID())
	if rule != nil {
		o.ForceFrom = rule.From
	}
	r := message.New(s.Body, o)
	defer r.Close()
	header, err := r.Header()
	if err != nil {
		return false, in.bodyError(err)
	}
	tooManyHops = header.Received > in.o.MaxHops
	if tooManyHops && s.Origin.Via == queue.ViaSMTP {
		return true, refuse(554, "5.4.6", sysexits.Unavailable, "too many hops: this message is in a loop")
	}
	if err := in.checkHeader(s.Origin, rule, header); err != nil {
		return false, err
	}
	m.MessageID = header.MessageID
	// Some clients declare SMTPUTF8 wherever it is offered. What does not need it
	// must not fail where it is not known.
	m.Envelope.SMTPUTF8 = needsUTF8(m.Envelope.ReversePath, m.Recipients) || m.Envelope.SMTPUTF8 && header.EightBit
	in.schedule(m, header.Automatic)

	out := &draftWriter{draft: draft}
	buf := in.copies.Get().(*[copySize]byte)
	defer in.copies.Put(buf)
	_, err = out.Write([]byte(in.received(s, m, draft.ID())))
	if err == nil {
		// The struct hides what else the reader can do: the buffer is to be used.
		_, err = io.CopyBuffer(out, struct{ io.Reader }{r}, buf[:])
	}
	switch {
	case out.err != nil:
		return false, storageError("write message", out.err)
	case err != nil:
		return false, in.bodyError(err)
	}
	if m.Envelope.Body == queue.Body7Bit && r.BodyEightBit() {
		m.Envelope.Body = queue.Body8BitMIME
	}
	return tooManyHops, nil
}

func (in *Intake) messageOptions(s *Submission, m *queue.Message, id queue.ID) message.Options {
	o := message.Options{Origin: in.o.Origin, Hostname: in.o.Hostname, MaxSize: in.o.MaxSize, Fixup: s.Fixup, Buffers: &in.buffers}
	if s.Origin.Via == queue.ViaSMTP {
		o.MaxHeader = maxNetworkHeader
	}
	if !s.Fixup {
		return o
	}
	o.Date = m.Arrival
	o.MessageID = "<" + m.Arrival.UTC().Format("20060102150405") + "." + id.String() + "@" + in.o.Hostname + ">"
	o.From = m.Envelope.ReversePath
	switch {
	case o.From.IsNull(): // the mail system itself
	case s.FullName != nil:
		o.FullName = *s.FullName
	case s.Origin.UID >= 0:
		// Without the name the field is as good.
		_, o.FullName, _ = in.lookupUser(s.Origin.UID)
	}
	return o
}

// received composes the trace field.
func (in *Intake) received(s *Submission, m *queue.Message, id queue.ID) string {
	t := message.Trace{
		Hostname: in.o.Hostname,
		ID:       id.String(),
		Date:     m.Arrival,
		UID:      s.Origin.UID,
		Hello:    s.Origin.Hello,
		ESMTP:    s.Protocol.ESMTP,
		TLS:      s.Protocol.TLS,
		UTF8:     s.Protocol.UTF8,
		Cipher:   s.Protocol.Cipher,
		Auth:     s.Origin.User != "",
	}
	if s.Origin.Via == queue.ViaSMTP {
		// An address that cannot be read leaves the zero Addr, and the field
		// without a from clause.
		client, _ := netip.ParseAddrPort(s.Origin.Client)
		t.Client = client.Addr()
	}
	return message.Received(t)
}

// bodyError says why a message could not be read.
func (in *Intake) bodyError(err error) *Error {
	if errors.Is(err, message.ErrTooLarge) {
		return refuse(552, "5.3.4", sysexits.Unavailable, "message is larger than the limit of %d bytes", in.o.MaxSize)
	}
	if errors.Is(err, message.ErrHeaderTooLarge) {
		return refuse(552, "5.3.4", sysexits.DataErr, "message header is larger than the limit of %d bytes", maxNetworkHeader)
	}
	return &Error{Code: 451, Status: "4.4.2", Exit: sysexits.TempFail, Text: "message broke off before its end", Err: err}
}

// draftWriter tells the store's errors from the body's.
type draftWriter struct {
	draft queue.Draft
	err   error
}

func (w *draftWriter) Write(p []byte) (int, error) {
	n, err := w.draft.Write(p)
	if err != nil {
		w.err = err
	}
	return n, err
}
