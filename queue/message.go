package queue

import (
	"time"

	"postrider/internal/address"
)

// Message is what is known of a message from its acceptance to its end. After
// [Draft.Commit] nothing of it changes, but that recipients may be added to it
// ([Record.Added]); what changes otherwise is in its deliveries.
type Message struct {
	ID       ID       `cbor:"1,keyasint"`
	Envelope Envelope `cbor:"2,keyasint"`
	// Recipients in the order given; a Delivery refers to them by index.
	Recipients []Recipient `cbor:"3,keyasint"`
	Origin     Origin      `cbor:"4,keyasint"`
	// Kind tells ordinary mail from our own reports.
	Kind Kind `cbor:"5,keyasint,omitempty"`
	// MessageID is the value of the Message-ID field with its brackets.
	MessageID string    `cbor:"6,keyasint,omitempty"`
	Arrival   time.Time `cbor:"7,keyasint"`
	// Expires is when recipients still undelivered are given up.
	Expires time.Time `cbor:"8,keyasint"`
	// NoticeAt is when the sender is told of a delay; zero for never.
	NoticeAt time.Time `cbor:"9,keyasint,omitzero"`
	// Size of the body as stored, header included, in bytes with LF line ends.
	Size int64 `cbor:"10,keyasint"`
	// SubmissionID was chosen by the submitting program. A second commit by the
	// same uid with the same SubmissionID stores nothing and yields the first ID.
	SubmissionID string `cbor:"11,keyasint,omitempty"`
	// Reports names the message a report is about; zero for ordinary mail.
	Reports ID `cbor:"12,keyasint,omitempty"`
}

// Kind tells what a message is to the queue.
type Kind uint8

// The kinds of message.
const (
	Ordinary Kind = iota
	// Report is a bounce, delay notice or other report of ours: it never causes
	// another report.
	Report
	// PostmasterCopy is an undeliverable report's last resort.
	PostmasterCopy
)

// Envelope is the part of the transaction that holds for all recipients.
type Envelope struct {
	// ReversePath is where reports go; the zero Address is the null reverse-path.
	ReversePath address.Address `cbor:"1,keyasint,omitzero"`
	// EnvID and Ret are the sender's DSN parameters (RFC 3461 §4.3, §4.4), decoded.
	EnvID string `cbor:"2,keyasint,omitempty"`
	Ret   Ret    `cbor:"3,keyasint,omitempty"`
	Body  Body   `cbor:"4,keyasint,omitempty"`
	// SMTPUTF8 says that the envelope or the header needs RFC 6531.
	SMTPUTF8   bool `cbor:"5,keyasint,omitempty"`
	RequireTLS bool `cbor:"6,keyasint,omitempty"`
}

// Ret is the part of the message a failure report returns (RFC 3461 §4.3).
type Ret string

// The values of Ret; empty leaves the choice to us.
const (
	RetDefault Ret = ""
	RetFull    Ret = "FULL"
	RetHeaders Ret = "HDRS"
)

// Body is the declared body type (RFC 6152, RFC 3030).
type Body uint8

// The body types.
const (
	Body7Bit Body = iota
	Body8BitMIME
	BodyBinaryMIME
)

// Notify is the set of occasions on which a recipient's sender wants a report
// (RFC 3461 §4.1). The zero value means that nothing was asked for: failures and
// delays are reported.
type Notify uint8

// The members of Notify. NotifyNever excludes the others.
const (
	NotifyNever Notify = 1 << iota
	NotifySuccess
	NotifyFailure
	NotifyDelay
)

// OnFailure reports whether a failure is to be reported.
func (n Notify) OnFailure() bool { return n == 0 || n&NotifyFailure != 0 }

// OnDelay reports whether a delay is to be reported.
func (n Notify) OnDelay() bool { return n == 0 || n&NotifyDelay != 0 }

// OnSuccess reports whether a delivery is to be reported.
func (n Notify) OnSuccess() bool { return n&NotifySuccess != 0 }

// Recipient is one forward-path of the envelope with its DSN parameters.
type Recipient struct {
	Address address.Address `cbor:"1,keyasint"`
	// Original is the ORCPT parameter as "type;address", decoded; empty if absent.
	Original string `cbor:"2,keyasint,omitempty"`
	Notify   Notify `cbor:"3,keyasint,omitempty"`
	// Via are the addresses whose alias or .forward named this recipient, the
	// envelope's first; none for a recipient of the envelope.
	Via []address.Address `cbor:"4,keyasint,omitempty"`
	// ReversePath stands in for the envelope's, if set: the owner of a list.
	ReversePath *address.Address `cbor:"5,keyasint,omitempty"`
	// Target is what an alias or .forward says instead of an address.
	Target Target `cbor:"6,keyasint,omitzero"`
}

// Target is what mail for a local recipient goes into. It comes from alias and
// .forward files alone, never from an envelope.
type Target struct {
	Kind TargetKind `cbor:"1,keyasint,omitempty"`
	// Value is the login name of a user, the path of a file, or a command line.
	Value string `cbor:"2,keyasint,omitempty"`
	// User is the login name on whose behalf a file is written or a command run;
	// empty for the unprivileged default user.
	User string `cbor:"3,keyasint,omitempty"`
	// Extension is what followed the "+" in the recipient's local part.
	Extension string `cbor:"4,keyasint,omitempty"`
}

// TargetKind tells what a Target is.
type TargetKind uint8

// The kinds of target.
const (
	TargetAddress TargetKind = iota // none: Recipient.Address says it all
	TargetUser                      // a user of this host, who may have a .forward
	TargetMailbox                   // the mailbox of a user, whatever .forward says
	TargetFile                      // a file that messages are appended to
	TargetCommand                   // a command that gets the message on stdin
)

// ReversePathOf gives the reverse-path that holds for a recipient (by index). It
// is null for all if it is null for one: reports are not reported on.
func (m *Message) ReversePathOf(index int) address.Address {
	return m.ReversePathFor(m.Recipients[index])
}

// ReversePathFor is ReversePathOf for a recipient that the message has or gets.
func (m *Message) ReversePathFor(r Recipient) address.Address {
	if r.ReversePath != nil && !m.Envelope.ReversePath.IsNull() {
		return *r.ReversePath
	}
	return m.Envelope.ReversePath
}

// Written gives the envelope's recipients. They are the first ones, without those
// that an alias or .forward named.
func (m *Message) Written() []Recipient {
	for i := range m.Recipients {
		if len(m.Recipients[i].Via) > 0 {
			return m.Recipients[:i]
		}
	}
	return m.Recipients
}

// Via is the door a message came in by.
type Via string

// The doors.
const (
	ViaSocket   Via = "socket"   // the submission socket
	ViaSpool    Via = "spool"    // sendmail wrote the spool itself
	ViaMaildrop Via = "maildrop" // a file in the maildrop directory
	ViaSMTP     Via = "smtp"     // a TCP listener
	ViaInternal Via = "internal" // made here: reports
)

// Origin says who handed the message in, as the kernel or the network told.
type Origin struct {
	Via Via `cbor:"1,keyasint"`
	// UID of the submitting process; NoUID when it came over the network.
	UID int `cbor:"2,keyasint"`
	PID int `cbor:"3,keyasint,omitempty"`
	// Command is the submitting process's name where known.
	Command string `cbor:"4,keyasint,omitempty"`
	// Client is the network peer "address:port", and Hello the name it gave.
	Client string `cbor:"5,keyasint,omitempty"`
	Hello  string `cbor:"6,keyasint,omitempty"`
	// User is the authenticated login, if any.
	User string `cbor:"7,keyasint,omitempty"`
}

// NoUID is the UID of a message that no local process submitted.
const NoUID = -1
