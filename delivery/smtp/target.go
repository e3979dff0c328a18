package smtp

import (
	"crypto/x509"
	"net/netip"
)

// TLSMode is what a connection must offer before mail is sent on it.
type TLSMode uint8

// The modes, from none to authenticated.
const (
	// TLSNone never encrypts.
	TLSNone TLSMode = iota
	// TLSOpportunistic encrypts if the host can, whoever it is, and falls back to
	// a new connection in the clear if that does not work (RFC 7435).
	TLSOpportunistic
	// TLSRequired encrypts or fails; the certificate is looked at for the record
	// only.
	TLSRequired
	// TLSVerify demands a certificate that is valid for Target.Host.
	TLSVerify
)

var modeNames = [...]string{"none", "opportunistic", "required", "verify"}

// String gives the mode's name as logs print it.
func (m TLSMode) String() string {
	if int(m) >= len(modeNames) {
		return "invalid"
	}
	return modeNames[m]
}

// Target is one host address with the conditions under which it may be talked to.
type Target struct {
	// Host is the name for logs, SNI and the certificate check. Without a name,
	// the address in digits.
	Host    string
	Address netip.AddrPort
	// LocalAddr to connect from; invalid leaves the choice to the system.
	LocalAddr netip.Addr
	// Hello is the name we give in EHLO. A host that gives the same name is
	// ourselves.
	Hello string
	TLS   TLSMode
	// ImplicitTLS begins with the handshake (RFC 8314 §3.3). There is no falling
	// back then, whatever the mode.
	ImplicitTLS bool
	// RootCAs to verify with; nil means the system's.
	RootCAs *x509.CertPool
	// Auth, if set, is used to log in before any mail. Without a verified
	// certificate it is an error unless AllowPlainAuth.
	Auth           *Credentials
	AllowPlainAuth bool
	// MaxMessages for one connection; zero means 100.
	MaxMessages int
}

// Credentials to log in with (RFC 4954).
type Credentials struct {
	Username string
	Password string
}

const defaultMaxMessages = 100

func (t *Target) maxMessages() int {
	if t.MaxMessages <= 0 {
		return defaultMaxMessages
	}
	return t.MaxMessages
}
