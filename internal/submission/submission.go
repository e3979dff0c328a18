package submission

import (
	"io"

	"postrider/queue"
)

// Submission is one message handed in. Accept does not change it.
type Submission struct {
	Origin   queue.Origin
	Envelope queue.Envelope
	// Recipients as given; bare addresses are completed and duplicates dropped.
	Recipients []queue.Recipient
	// SubmissionID is chosen by the submitting program: the same message handed in
	// twice by one uid under one ID is stored once. Empty if it chose none.
	SubmissionID string
	// Fixup completes the message as the sendmail command does: missing fields are
	// added, blind copies removed. Without it a message is only made safe to pass
	// on, and keeps its fields.
	Fixup bool
	// FullName is for a From field that has to be added; nil stands for the name
	// that the submitting uid has on this host. It is looked at with Fixup only.
	FullName *string
	// Protocol is how a message came over the network.
	Protocol Protocol
	// Body is the message, header first, with LF or CRLF line ends and no dots
	// stuffed. It is read to its end or to an error, which refuses the message.
	Body io.Reader
}

// Protocol tells the "with" of a Received field (RFC 3848, RFC 6531 §4.3).
type Protocol struct {
	// ESMTP: the client greeted with EHLO. TLS: the connection is encrypted. UTF8:
	// the transaction is an internationalized one.
	ESMTP, TLS, UTF8 bool
	// Cipher is the cipher suite under TLS, with the version in parentheses.
	Cipher string
}
