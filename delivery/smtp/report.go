package smtp

import (
	"time"
)

// Report is what became of a Transaction at one host.
type Report struct {
	// Results in the order of Transaction.Recipients.
	Results []RecipientResult
	// Err says why the session failed or the host refused the whole; nil if the
	// dialogue ran to its end, whatever it said of single recipients.
	Err *Error
	// TLS is the verdict on the connection for people to read: "TLS 1.3
	// TLS_AES_128_GCM_SHA256 verified", "TLS 1.2 … unverified (self-signed
	// certificate)", "none (not offered)", "none (handshake failed: …)". Empty if
	// it did not get that far.
	TLS string
	// Reused says that the connection had carried mail before.
	Reused bool
	Took   time.Duration
	// Doubtful says that the connection was lost between the final dot and its
	// reply: the host may have the message (RFC 1047).
	Doubtful bool
}

// RecipientResult is what the host said about one recipient.
type RecipientResult struct {
	// Done says that Reply is this host's word on this recipient: a reply to its
	// RCPT, to DATA or to the final dot. A recipient that is not done may be tried
	// at another host if Report.Err is nil or allows it (Error.NextHost); Reply
	// then is what to record if there is no other.
	Done  bool
	Reply Reply
	// DSN says that the host knows RFC 3461: if it accepted the message, it has
	// taken over the duty to report as well.
	DSN bool
}
