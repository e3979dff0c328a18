package mx

import (
	"errors"
	"fmt"
)

// Kind classifies why there is no host to try.
type Kind uint8

// The kinds. Those up to Malformed are permanent: the DNS, or the name itself, says
// so for sure. The others may pass.
const (
	NoDomain    Kind = iota + 1 // the domain does not exist
	NoHost                      // it exists, but has neither MX nor address
	NullMX                      // it accepts no mail (RFC 7505)
	NoUsableMX                  // it has MX records, but none leads to an address
	Loop                        // this host is the best one for it
	Malformed                   // it is no domain name or address literal
	ServFail                    // servers failed, or gave a useless answer
	Timeout                     // servers did not answer in time, or the context ended
	Refused                     // servers refuse to answer us
	Unreachable                 // servers cannot be reached
	WrongFamily                 // it has only addresses of a family that is switched off
)

var kindNames = [...]string{
	NoDomain: "domain does not exist", NoHost: "domain has neither MX nor address records",
	NullMX: "domain accepts no mail (null MX)", NoUsableMX: "no MX host has an address",
	Loop: "mail loops back to this host", Malformed: "not a domain name or address literal",
	ServFail: "DNS servers failed", Timeout: "DNS servers did not answer in time",
	Refused: "DNS servers refused", Unreachable: "DNS servers cannot be reached",
	WrongFamily: "no address of an enabled IP family",
}

// String gives the kind in words.
func (k Kind) String() string {
	if int(k) >= len(kindNames) || kindNames[k] == "" {
		return "unknown DNS trouble"
	}
	return kindNames[k]
}

var statuses = [...]string{
	NoDomain: "5.1.2", NoHost: "5.4.4", NullMX: "5.1.10", NoUsableMX: "5.4.4", Loop: "5.4.6", Malformed: "5.1.2",
	ServFail: "4.4.3", Timeout: "4.4.3", Refused: "4.4.3", Unreachable: "4.4.3", WrongFamily: "4.4.4",
}

// Error says why a next hop yields no host. All errors of lookups are of this type.
type Error struct {
	Kind Kind
	// Domain is the next hop asked for.
	Domain string
	// Name is the name whose lookup decided: the domain, an alias's target or an MX host.
	Name string
	// Err has details; nil if Kind says all.
	Err error
}

// Error tells domain, name, kind and details.
func (e *Error) Error() string {
	s := fmt.Sprintf("look up mail hosts of %q: %v", e.Domain, e.Kind)
	if e.Name != "" && e.Name != e.Domain {
		s += fmt.Sprintf(" (asked for %q)", e.Name)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the details.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether another try may do better.
func (e *Error) Temporary() bool { return e.Kind > Malformed || e.Kind == 0 }

// Status is the enhanced status code (RFC 3463, RFC 7505 §4.1).
func (e *Error) Status() string {
	if e.Kind == 0 || int(e.Kind) >= len(statuses) {
		return "4.4.3"
	}
	return statuses[e.Kind]
}

// Code is the basic SMTP reply code that goes with Status.
func (e *Error) Code() int {
	switch {
	case e.Temporary():
		return 451
	case e.Kind == NullMX:
		return 556 // RFC 7504 §4, RFC 7505 §4.1
	}
	return 550
}

// forDomain makes err, of whatever lookup, an Error of the domain's.
func forDomain(err error, domain string) *Error {
	var e *Error
	if !errors.As(err, &e) {
		return &Error{Kind: ServFail, Domain: domain, Err: err}
	}
	c := *e
	c.Domain = domain
	return &c
}
