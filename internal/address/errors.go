package address

import (
	"errors"
	"fmt"
	"strings"
)

// Reasons why an address is refused; the errors of this package wrap one of them.
var (
	// ErrControl refuses control characters, line ends and NUL among them: they
	// would let an address add commands or header fields of its own.
	ErrControl = errors.New("contains a control character")
	// ErrUTF8 refuses bytes that are not UTF-8 (RFC 6531 §3.3).
	ErrUTF8 = errors.New("is not valid UTF-8")
	// ErrEmpty says that there is no address in the text.
	ErrEmpty = errors.New("holds no address")
	// ErrSeveral says that there is more than one where one is wanted.
	ErrSeveral = errors.New("holds more than one address")
	// ErrSyntax refuses what cannot be read as an address.
	ErrSyntax = errors.New("is not a mail address")
	// ErrDomain refuses a domain that no host can have.
	ErrDomain = errors.New("has an invalid domain")
)

// reason is a finer reason, a kind of one of those above. It is a plain value, so
// that there are no errors to format when a program starts.
type reason struct {
	kind error
	text string
}

func (r *reason) Error() string { return r.kind.Error() + ": " + r.text }
func (r *reason) Unwrap() error { return r.kind }

var (
	errQuote   = &reason{ErrSyntax, "closing quote is missing"}
	errComment = &reason{ErrSyntax, "closing parenthesis is missing"}
	errAngle   = &reason{ErrSyntax, "unpaired angle bracket"}
	errLocal   = &reason{ErrSyntax, "nothing stands before the @"}
	errLong    = &reason{ErrSyntax, "local part is too long"}
	errBlank   = &reason{ErrSyntax, "blank or comment inside the address"}
	errSpecial = &reason{ErrSyntax, "special character outside quotes"}
	errLiteral = &reason{ErrDomain, "address literal must be [192.0.2.1] or [IPv6:2001:db8::1]"}
	errLength  = &reason{ErrDomain, "the name or a part of it is too long for the DNS"}
)

// BadAddress is a part of a list that could not be read as an address.
type BadAddress struct {
	// Text as written, made printable and cut to a bearable length.
	Text string
	// Err wraps one of the reasons of this package.
	Err error
}

// printable makes text fit for a message to people: no control characters, valid
// UTF-8, bounded.
func printable(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "..."
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s))
}

func refuse(text string, why error) error {
	return fmt.Errorf("address %q %w", printable(text), why)
}
