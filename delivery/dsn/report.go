package dsn

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/emersion/go-message/textproto"

	"postrider/internal/address"
)

// Kind says what became of a recipient, and what a report is mainly about.
type Kind uint8

// The kinds, called as the Action field calls them (RFC 3464 §2.3.3).
const (
	Failed    Kind = iota + 1 // given up
	Delayed                   // still being tried
	Delivered                 // in the mailbox
	Relayed                   // with a host that sends no such reports
	Expanded                  // passed on to several addresses, of which more may be told
)

var kindNames = [...]string{Failed: "failed", Delayed: "delayed", Delivered: "delivered", Relayed: "relayed", Expanded: "expanded"}

// String gives the value of the Action field.
func (k Kind) String() string {
	if k < Failed || k > Expanded {
		return "invalid"
	}
	return kindNames[k]
}

// Return says how much of the message a report of a failure gives back
// (RFC 3461 §4.3). Other reports return the header only.
type Return uint8

// The values of Return.
const (
	Headers Return = iota
	Full
)

// Report is one report on one message. Dates, addresses and the message's own
// facts are the caller's; any text may come from strangers as it is.
type Report struct {
	Kind Kind
	// From and To of the header: MAILER-DAEMON, and the sender of the message.
	From, To address.Address
	// MessageID of the report, with its brackets.
	MessageID string
	Date      time.Time
	// Hostname is the name of this host as the text gives it; ReportingMTA, by
	// default the same, is the name in the field.
	Hostname     string
	ReportingMTA string
	// ArrivalDate, EnvID (decoded; empty if the sender gave none), QueueID and
	// InReplyTo (the Message-ID) are those of the message reported on.
	ArrivalDate time.Time
	EnvID       string
	QueueID     string
	InReplyTo   string
	Recipients  []Recipient
	// Return asks for the whole message or its header.
	Return Return
	// Original is what Survey found.
	Original Original
	// SMTPUTF8 makes it a report for international mail (RFC 6533), to be sent
	// with SMTPUTF8 itself.
	SMTPUTF8 bool
	// Postmaster marks the copy that a postmaster gets of a report which could
	// not be delivered.
	Postmaster bool
	// ListOwner marks a report to the owner of a list, who did not send the message.
	ListOwner bool
	// Boundary parts the parts; by default random, which no content can foresee.
	Boundary string
}

// Recipient is one recipient that the report tells of.
type Recipient struct {
	Address address.Address
	// Original is the ORCPT parameter, "type;address", decoded; empty if absent.
	Original string
	// Written is the address that the sender wrote, where an alias or .forward put
	// this recipient in its place; null otherwise.
	Written address.Address
	// Action is the report's Kind if not set.
	Action Kind
	// Status is the enhanced status code. Its class is made to fit the action.
	Status string
	// Remote is the host that said Diagnostic; empty if the words are our own.
	Remote string
	// Diagnostic is a reply, its lines parted by \n, or our own words.
	Diagnostic  string
	LastAttempt time.Time
	// WillRetryUntil is told of delayed recipients only.
	WillRetryUntil time.Time
	// FinalLog is the name of this delivery in our log.
	FinalLog string
}

// Compose writes the report with LF line ends and the message into it. A nil
// original makes a report without the message.
func (r *Report) Compose(w io.Writer, original io.Reader) error {
	if err := r.check(); err != nil {
		return err
	}
	lf := lfWriter{w}
	parts := textproto.NewMultipartWriter(lf)
	if r.Boundary != "" {
		if err := parts.SetBoundary(r.Boundary); err != nil {
			return fmt.Errorf("set boundary %q: %w", r.Boundary, err)
		}
	}
	if _, err := io.WriteString(w, r.header(parts.Boundary())); err != nil {
		return err
	}
	text := r.text(original != nil)
	for _, p := range []part{r.textPart(text), r.statusPart()} {
		if err := p.write(parts, w); err != nil {
			return err
		}
	}
	if original != nil {
		if err := r.returned(original).write(parts, w); err != nil {
			return fmt.Errorf("return message: %w", err)
		}
	}
	return parts.Close()
}

func (r *Report) check() error {
	switch {
	case r.Kind < Failed || r.Kind > Expanded:
		return fmt.Errorf("compose report: no such kind: %d", r.Kind)
	case len(r.Recipients) == 0:
		return errors.New("compose report: it has no recipients to tell of")
	}
	return nil
}

// full tells whether the whole message is returned.
func (r *Report) full() bool { return r.Return == Full && r.Kind == Failed }

// EightBit tells whether the report has 8-bit content, so that it must be sent
// as 8BITMIME (RFC 6152).
func (r *Report) EightBit() bool {
	return r.SMTPUTF8 || r.returnsEightBit()
}

func (r *Report) returnsEightBit() bool {
	return r.Original.EightBitHeader || r.full() && r.Original.EightBitBody
}

// header gives the header of the report, the empty line included.
func (r *Report) header(boundary string) string {
	f := fields{utf8: r.SMTPUTF8}
	f.add("Date", date(r.Date))
	f.add("From", "Mail Delivery System <"+r.From.String()+">")
	f.add("To", "<"+r.To.String()+">")
	f.add("Subject", r.subject())
	f.add("Message-ID", r.MessageID)
	if isMessageID(r.InReplyTo) {
		f.add("In-Reply-To", r.InReplyTo)
		f.add("References", r.InReplyTo)
	}
	f.add("Auto-Submitted", r.autoSubmitted())
	f.add("MIME-Version", "1.0")
	f.add("Content-Type", `multipart/report; report-type=delivery-status; boundary="`+boundary+`"`)
	if r.EightBit() {
		f.add("Content-Transfer-Encoding", "8bit")
	}
	return f.String() + "\n"
}

func (r *Report) subject() string {
	switch {
	case r.Postmaster:
		return "Postmaster Copy: Undelivered Mail"
	case r.Kind == Failed:
		return "Undelivered Mail Returned to Sender"
	case r.Kind == Delayed:
		return "Delayed Mail (still being retried)"
	}
	return "Successful Mail Delivery Report"
}

// autoSubmitted: a delay notice answers nothing, it comes of itself (RFC 3834 §5).
func (r *Report) autoSubmitted() string {
	if r.Kind == Delayed {
		return "auto-generated"
	}
	return "auto-replied"
}

func date(t time.Time) string { return t.Format(time.RFC1123Z) }

// isMessageID accepts what can stand in References without harm. It is the
// sender's text and may be anything.
func isMessageID(s string) bool {
	inner, ok := strings.CutPrefix(s, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	at := strings.LastIndexByte(inner, '@')
	return ok && closed && len(s) <= 250 && at > 0 && at < len(inner)-1 &&
		!strings.ContainsFunc(inner, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '<' || c == '>' })
}
