package delivery

import (
	"io"
	"strings"
	"unicode/utf8"

	"postrider/delivery/smtp"
	"postrider/internal/address"
)

// envelope is what recipients of one transaction share. Those that a list or a
// .forward added may have another reverse-path than the rest, and other traces.
type envelope struct {
	from address.Address
	// trace are the lines that tell by which addresses of ours the message came.
	trace string
	// recipients by index.
	recipients []int
}

// envelopes parts the pending recipients, in the order of the first of each.
func (t *attempt) envelopes() []envelope {
	m := t.work.Message
	var list []envelope
	for _, index := range t.pending {
		from, trace := m.ReversePathOf(index), traceOf(m.Recipients[index].Via)
		known := false
		for i := range list {
			if e := &list[i]; e.from == from && e.trace == trace {
				e.recipients, known = append(e.recipients, index), true
				break
			}
		}
		if !known {
			list = append(list, envelope{from, trace, []int{index}})
		}
	}
	return list
}

// traceOf makes a Delivered-To field of each address that was expanded, so that
// the message is known should it come back to one.
func traceOf(via []address.Address) string {
	if len(via) == 0 {
		return ""
	}
	var b strings.Builder
	for i := len(via) - 1; i >= 0; i-- {
		b.WriteString("Delivered-To: " + via[i].String() + "\r\n")
	}
	return b.String()
}

// transaction makes what a host is sent.
func (t *attempt) transaction(e envelope) *smtp.Transaction {
	m := t.work.Message
	from, rewritten := t.agent.Masquerade.Rewrite(e.from)
	tx := &smtp.Transaction{
		From: from, EnvID: m.Envelope.EnvID, Ret: m.Envelope.Ret,
		SMTPUTF8: m.Envelope.SMTPUTF8 && !(rewritten && t.isASCII(from, e)), Size: m.Size + int64(len(e.trace)),
		Open:       func() (io.ReadCloser, error) { return t.content.outgoing(forHosts, e.trace) },
		Recipients: make([]smtp.Recipient, len(e.recipients)),
	}
	for i, index := range e.recipients {
		r := m.Recipients[index]
		tx.Recipients[i] = smtp.Recipient{Address: r.Address, Notify: r.Notify, Original: r.Original}
	}
	return tx
}

// isASCII tells whether nothing but the reverse-path, which has been rewritten,
// needed RFC 6531.
func (t *attempt) isASCII(from address.Address, e envelope) bool {
	if !isASCII(from.Local) {
		return false
	}
	for _, index := range e.recipients {
		if !isASCII(t.work.Message.Recipients[index].Address.Local) {
			return false
		}
	}
	eightBit, err := t.content.hasEightBitHeader()
	return err == nil && !eightBit
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf })
}
