package smtp

import (
	"io"

	"postrider/internal/address"
	"postrider/queue"
)

// Transaction is a message with those recipients that are to go to one host.
type Transaction struct {
	// From is the reverse-path; the zero Address is the null one.
	From  address.Address
	EnvID string
	Ret   queue.Ret
	// SMTPUTF8 says that the header needs RFC 6531, whoever the recipients are.
	// Local parts are looked at besides.
	SMTPUTF8 bool
	// EightBit says that the content must not go to a host without 8BITMIME.
	EightBit bool
	// Size in bytes of the content with CRLF line ends, or an estimate; zero if
	// unknown.
	Size       int64
	Recipients []Recipient
	// Open gives the content, lines ended by CRLF, dots not yet stuffed. It is
	// called again for every further transaction, and not at all if no recipient
	// is accepted.
	Open func() (io.ReadCloser, error)
	// OnData, if set, is called when all content has been written but the final
	// dot: from here on the host may have the message though we do not know. It is
	// called once for each transaction, so more than once where recipients are
	// split.
	OnData func()
}

// Recipient is one forward-path with its DSN parameters (RFC 3461).
type Recipient struct {
	Address address.Address
	Notify  queue.Notify
	// Original is the ORCPT parameter as "type;address", decoded; empty if absent.
	Original string
}
