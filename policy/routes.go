package policy

import (
	"strings"

	"postrider/internal/address"
)

// LocalDestination is where mail for this host's users waits. No domain and no
// relay can be called so.
const LocalDestination = "local:"

// CommandPrefix begins the destinations that stand for commands: each user's have
// one of their own, so that a command that hangs holds up no other mail.
const CommandPrefix = "command:"

// RelayPrefix begins the destinations that stand for smarthosts.
const RelayPrefix = "relay:"

// Kind is the way mail travels.
type Kind uint8

// The ways.
const (
	Direct Kind = iota // to the MX hosts of the recipient's domain
	Relay              // to smarthosts, in order
	Local              // into a mailbox of this host
)

// Requirement is what a connection has to offer before mail is sent over it.
type Requirement uint8

// The requirements.
const (
	Opportunistic Requirement = iota // encrypt if offered, verify nothing
	Verified                         // encrypt, with a certificate for the host's name
	Clear                            // never encrypt
)

// Smarthost is a relay with the conditions for its use.
type Smarthost struct {
	// Address is host:port, [literal]:port, or a domain whose MX hosts are meant.
	Address string
	// TLS says what the relay must offer; Implicit that TLS starts at once.
	TLS      Requirement
	Implicit bool
	// Username and the file of the password; empty for no login.
	Username, PasswordFile string
	// ForSenders and ForRecipients limit its use; none means no limit.
	ForSenders, ForRecipients []string
}

// TLSException overrides the default requirement of direct delivery for Match, a
// recipient domain, or for all domains below it if Match begins with a dot.
type TLSException struct {
	Match   string
	Require Requirement
}

// Options are what Routes is made of.
type Options struct {
	LocalDomains []string
	Smarthosts   []Smarthost
	TLS          Requirement
	Exceptions   []TLSException
}

// Routes decides ways. It does not change and is safe for concurrent use.
type Routes struct {
	local      map[string]bool
	smarthosts []Smarthost
	tls        Requirement
	exceptions []TLSException
}

// NewRoutes makes the decision table.
func NewRoutes(o Options) *Routes {
	r := &Routes{local: map[string]bool{}, smarthosts: o.Smarthosts, tls: o.TLS, exceptions: o.Exceptions}
	for _, d := range o.LocalDomains {
		r.local[address.Address{Local: "x", Domain: strings.TrimSuffix(d, ".")}.DomainKey()] = true
	}
	return r
}

// Route is the way of one recipient's mail.
type Route struct {
	Kind Kind
	// Destination is the queue such mail waits in: equal for recipients that can
	// travel in one transaction.
	Destination string
	// NextHop is the domain, as an A-label, or literal whose hosts are to be
	// found; for Direct only.
	NextHop string
	// Smarthosts to try, in order; for Relay only.
	Smarthosts []Smarthost
	// TLS is what hosts of a Direct route must offer, Reason why.
	TLS    Requirement
	Reason string
}

// Destination names the queue in which mail from and to these addresses waits.
func (r *Routes) Destination(from, to address.Address) string {
	return r.Route(from, to).Destination
}

// Route decides, by the configuration as it is now, how mail travels.
func (r *Routes) Route(from, to address.Address) Route {
	domain := to.DomainKey()
	if domain == "" || r.local[domain] {
		return Route{Kind: Local, Destination: LocalDestination, Reason: "local domain"}
	}
	if relays := r.relays(from, to); len(relays) > 0 {
		return Route{Kind: Relay, Destination: relayDestination(relays), Smarthosts: relays, Reason: "smarthost"}
	}
	tls, why := r.requirement(domain)
	return Route{Kind: Direct, Destination: domain, NextHop: domain, TLS: tls, Reason: why}
}

// IsLocal reports whether mail for the domain is delivered on this host.
func (r *Routes) IsLocal(a address.Address) bool { return r.local[a.DomainKey()] }

func (r *Routes) relays(from, to address.Address) []Smarthost {
	var list []Smarthost
	for _, s := range r.smarthosts {
		if matchAny(s.ForSenders, from) && matchAny(s.ForRecipients, to) {
			list = append(list, s)
		}
	}
	return list
}

// relayDestination keeps apart what needs different relays or logins.
func relayDestination(relays []Smarthost) string {
	names := make([]string, len(relays))
	for i, s := range relays {
		names[i] = s.Address
		if s.Username != "" {
			names[i] = s.Username + "@" + s.Address
		}
	}
	return RelayPrefix + strings.Join(names, ",")
}

func (r *Routes) requirement(domain string) (Requirement, string) {
	for _, e := range r.exceptions {
		if matchDomain(e.Match, domain) {
			return e.Require, "tls.destination " + e.Match
		}
	}
	return r.tls, "tls.default"
}

func matchAny(patterns []string, a address.Address) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, p := range patterns {
		if Match(p, a) {
			return true
		}
	}
	return false
}

// Match compares an address with a pattern: "*" for all, "<>" for the null
// reverse-path, "*@domain" or "@domain", "*@.domain" for all below it, or a whole
// address.
func Match(pattern string, a address.Address) bool {
	if pattern == "*" {
		return true
	}
	if a.IsNull() || pattern == "<>" {
		return a.IsNull() && pattern == "<>"
	}
	local, domain, ok := cutLast(pattern, '@')
	if !ok || !matchDomain(domain, a.DomainKey()) {
		return false
	}
	return local == "" || local == "*" || strings.EqualFold(local, a.Local)
}

func matchDomain(pattern, domain string) bool {
	pattern = strings.ToLower(pattern)
	if strings.HasPrefix(pattern, ".") {
		return strings.HasSuffix(domain, pattern)
	}
	return pattern == domain
}

func cutLast(s string, sep byte) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+1:], true
}
