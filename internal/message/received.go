package message

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"postrider/internal/address"
)

// Trace is what a Received field tells (RFC 5321 §4.4).
type Trace struct {
	// Hostname of this host, ID in its queue, and the time of arrival.
	Hostname string
	ID       string
	Date     time.Time
	// UID of the local process that submitted the message; below zero for none.
	UID int
	// Client is the network peer; the zero Addr for local submission. Hello is the
	// name it gave itself, and ClientName the one DNS confirmed, if any.
	Client     netip.Addr
	Hello      string
	ClientName string
	// How the message came over the network: extended SMTP or LMTP, under TLS,
	// after AUTH, with SMTPUTF8.
	ESMTP, LMTP, TLS, Auth, UTF8 bool
	// Cipher is the cipher suite under TLS (RFC 8314 §4.3), and whatever else is to
	// be said of it in parentheses; empty for no word of it.
	Cipher string
	// For is the only recipient, to be named. Leave it zero if there are more or
	// if it could be a blind copy.
	For address.Address
}

// Received composes the field, folded and with its line end, to be written before
// the message.
func Received(t Trace) string {
	var b strings.Builder
	b.WriteString("Received: ")
	if t.Client.IsValid() {
		b.WriteString(t.from() + "\n\tby " + oneToken(t.Hostname) + " (postrider) with " + t.protocol() + " id " + oneToken(t.ID))
	} else {
		b.WriteString("by " + oneToken(t.Hostname) + t.user() + "\n\tid " + oneToken(t.ID))
	}
	if !t.For.IsNull() {
		b.WriteString("\n\tfor <" + oneLine(t.For.String()) + ">")
	}
	if t.TLS && t.Cipher != "" {
		b.WriteString("\n\ttls " + oneLine(t.Cipher))
	}
	b.WriteString("; " + FormatDate(t.Date) + "\n")
	return b.String()
}

func (t Trace) user() string {
	if t.UID < 0 {
		return " (postrider)"
	}
	return fmt.Sprintf(" (postrider, from userid %d)", t.UID)
}

func (t Trace) from() string {
	ip := t.Client.Unmap().WithZone("")
	literal := "[" + ip.String() + "]"
	if ip.Is6() {
		literal = "[IPv6:" + ip.String() + "]"
	}
	hello := oneToken(t.Hello)
	if hello == "" {
		hello = literal
	}
	name := ""
	if t.ClientName != "" {
		name = oneToken(t.ClientName) + " "
	}
	return "from " + hello + " (" + name + literal + ")"
}

// protocol names the transmission type (RFC 3848, RFC 6531 §4.3).
func (t Trace) protocol() string {
	name := "SMTP"
	switch {
	case t.LMTP:
		name = "LMTP"
	case t.UTF8: // implies ESMTP
	case t.ESMTP || t.TLS || t.Auth:
		name = "ESMTP"
	}
	if t.UTF8 {
		name = "UTF8" + name
	}
	if t.TLS {
		name += "S"
	}
	if t.Auth {
		name += "A"
	}
	return name
}
