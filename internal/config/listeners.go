package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Service is what a listener offers.
type Service uint8

// The services.
const (
	ServeRelay       Service = iota // SMTP: local domains, and relaying for trusted networks
	ServeSubmission                 // login over STARTTLS (RFC 6409)
	ServeSubmissions                // login where TLS comes first (RFC 8314 §3.3)
)

// Listener is an entry of submission.listen.
type Listener struct {
	Service Service
	Address netip.AddrPort
}

// ParseListener reads an entry of submission.listen.
func ParseListener(s string) (Listener, error) {
	l := Listener{Service: ServeRelay}
	rest := s
	if scheme, after, ok := strings.Cut(s, "://"); ok {
		switch rest = after; scheme {
		case "smtp":
		case "submission":
			l.Service = ServeSubmission
		case "submissions":
			l.Service = ServeSubmissions
		default:
			return l, fmt.Errorf("%q: %q is none of smtp, submission, submissions", s, scheme)
		}
	}
	var err error
	if l.Address, err = netip.ParseAddrPort(rest); err != nil {
		return l, fmt.Errorf("%q has no address with a port, such as 127.0.0.1:25 or [::1]:25", s)
	}
	return l, nil
}
