package lmtp

import (
	"context"
	"io"
	"log/slog"
	"net"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// Client delivers to mail stores. It is safe for concurrent use; its fields must
// not change meanwhile.
type Client struct {
	// Hostname is what LHLO says; "localhost" if empty.
	Hostname string
	// Dial connects; net.Dialer's if nil.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Logger takes what no Outcome carries; nil discards.
	Logger   *slog.Logger
	Timeouts Timeouts
}

// Timeouts bound the waits of a session. A zero field means its default.
type Timeouts struct {
	Connect time.Duration // 30 s
	Command time.Duration // 5 min, for the greeting and each reply up to DATA's
	Block   time.Duration // 3 min, for each 32 KiB of content
	Final   time.Duration // 10 min, for each recipient's last reply
	Total   time.Duration // 2 h, whatever progress is made
}

func (t Timeouts) withDefaults() Timeouts {
	for _, f := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Connect, 30 * time.Second}, {&t.Command, 5 * time.Minute}, {&t.Block, 3 * time.Minute},
		{&t.Final, 10 * time.Minute}, {&t.Total, 2 * time.Hour},
	} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	return t
}

// Envelope is what MAIL and RCPT say.
type Envelope struct {
	// From is the reverse-path; the zero Address is the null one.
	From       address.Address
	Recipients []Recipient
	// Body is what the content is declared to be. Where the store does not know
	// 8BITMIME, 8-bit content goes as it is: it is the store that keeps it, and no
	// other host has to take it.
	Body queue.Body
	// SMTPUTF8 says that the header or an address is internationalised (RFC 6531). A
	// store that does not know it gets such a header as it is, but no such address.
	SMTPUTF8 bool
	// Size in bytes of the content, or an estimate; zero if unknown.
	Size int64
	// OnData, if set, is called when all content has been written but the final dot:
	// from here on the store may have the message though we do not know. It is called
	// once for each transaction, so more than once where recipients are split.
	OnData func()
}

// Recipient is one forward-path with its DSN parameters (RFC 3461), which are said
// to stores that know them. Reports of success are left to the caller: the store is
// never asked for one.
type Recipient struct {
	Address address.Address
	// Original is the ORCPT parameter as "type;address", decoded; empty if absent.
	Original string
	Notify   queue.Notify
}

// Outcome is what became of one recipient.
type Outcome struct {
	// Result is queue.Delivered, queue.Temporary or queue.Failed.
	Result queue.Result
	// Code is the store's, if its class is that of the result; else zero.
	Code int
	// Status is the enhanced status code (RFC 3463).
	Status string
	// Text says in one line what happened: the store's words with their code and, if
	// an administrator can mend it, where to look.
	Text string
}

// Deliver hands the message to the mail store and gives an Outcome for each
// recipient, in their order. open yields the content with CRLF line ends, dots not
// stuffed; it is called again for each further transaction, and not at all if no
// recipient is accepted. It returns soon after ctx ends; recipients without a reply
// are then temporary.
func (c *Client) Deliver(ctx context.Context, t Target, e Envelope, open func() (io.ReadCloser, error)) []Outcome {
	j := &job{target: t, envelope: &e, open: open, log: c.Logger, outcomes: make([]Outcome, len(e.Recipients))}
	if j.log == nil {
		j.log = slog.New(slog.DiscardHandler)
	}
	for i := range e.Recipients {
		j.pending = append(j.pending, i)
	}
	if len(j.pending) > 0 {
		j.run(ctx, c)
	}
	return j.outcomes
}
