package policy

import (
	"slices"
	"strconv"
	"strings"

	"postrider/internal/address"
)

// anybody names all users, or all logins, of a rule.
const anybody = "*"

// superuser is who uid 0 is, whatever /etc/passwd says.
const superuser = "root"

// Submitter is who hands a message in, as the kernel or a login told.
type Submitter struct {
	// UID of the submitting process; below zero where the kernel told none.
	UID int
	// Name is the login name of UID.
	Name string
	// Login is what a network client has authenticated as.
	Login string
	// Unknown says that a process of this host came over the network without a
	// login: one of its users, but nobody knows which.
	Unknown bool
}

// SenderRule binds who it names to addresses. A nil rule binds to nothing.
type SenderRule struct {
	// Users are local users by name or uid, Logins those of network clients; "*"
	// stands for all.
	Users, Logins []string
	// Allow are patterns, as Match knows them, of the addresses they may use; none
	// means any.
	Allow []string
	// ReversePath, if not null, takes the place of whatever reverse-path is given,
	// and From that of the address in the From field.
	ReversePath, From address.Address
}

// SenderOptions are what SenderRules is made of.
type SenderOptions struct {
	// Trusted are local users, by name or uid, that no rule binds.
	Trusted []string
	// Denied are local users, by name or uid, that may not send at all.
	Denied []string
	Rules  []SenderRule
}

// SenderRules decides who may send as whom (RFC 6409 §6.1). It does not change and
// is safe for concurrent use; nil stands for no rules.
type SenderRules struct {
	trusted, denied []string
	rules           []SenderRule
}

// NewSenderRules makes the decision table.
func NewSenderRules(o SenderOptions) *SenderRules {
	t := &SenderRules{trusted: o.Trusted, denied: o.Denied, rules: slices.Clone(o.Rules)}
	for i := range t.rules {
		t.rules[i].Allow = canonicalPatterns(t.rules[i].Allow)
	}
	return t
}

// Empty reports whether nobody is bound and nobody denied.
func (t *SenderRules) Empty() bool { return t == nil || len(t.rules)+len(t.denied) == 0 }

// Denied reports whether the submitter may not send at all.
func (t *SenderRules) Denied(s Submitter) bool {
	return t != nil && namesUser(t.denied, s)
}

// For gives the rule that holds for the submitter, the first that names it. It is
// nil for trusted users and for who is named by none: network clients without a
// login among them, except that "*" among the users of a rule includes processes
// of this host that came over the network.
func (t *SenderRules) For(s Submitter) *SenderRule {
	if t == nil || namesUser(t.trusted, s) {
		return nil
	}
	for i := range t.rules {
		if t.rules[i].binds(s) {
			return &t.rules[i]
		}
	}
	return nil
}

func (r *SenderRule) binds(s Submitter) bool {
	if s.Login != "" {
		return slices.Contains(r.Logins, anybody) || slices.Contains(r.Logins, s.Login)
	}
	return namesUser(r.Users, s) || s.Unknown && slices.Contains(r.Users, anybody)
}

// namesUser reports whether the list has the submitting uid or its name. A number
// is always a uid, so that no login name can pass for another user's uid.
func namesUser(list []string, s Submitter) bool {
	if s.UID < 0 || s.Login != "" {
		return false
	}
	return slices.ContainsFunc(list, func(name string) bool {
		if uid, err := strconv.Atoi(name); err == nil {
			return uid == s.UID
		}
		return name == anybody || name == s.Name || s.UID == 0 && name == superuser
	})
}

// Envelope gives the reverse-path a message gets for the one it was handed in
// with. The null reverse-path is never replaced: what it stands before is a
// report, which must not cause another (RFC 5321 §4.5.5).
func (r *SenderRule) Envelope(given address.Address) address.Address {
	if r == nil || r.ReversePath.IsNull() || given.IsNull() {
		return given
	}
	return r.ReversePath
}

// Allows reports whether mail may be sent as the address, in the envelope or in the
// header. The null reverse-path always may, and so may what the rule itself sets.
func (r *SenderRule) Allows(a address.Address) bool {
	if r == nil || a.IsNull() || matchAny(r.Allow, a) {
		return true
	}
	return a.Key() == r.ReversePath.Key() || a.Key() == r.From.Key()
}

// canonicalPatterns gives patterns with their domains in the form that addresses
// are compared in.
func canonicalPatterns(patterns []string) []string {
	list := make([]string, len(patterns))
	for i, p := range patterns {
		local, domain, ok := cutLast(p, '@')
		if !ok {
			list[i] = p
			continue
		}
		below := ""
		if rest, found := strings.CutPrefix(domain, "."); found {
			below, domain = ".", rest
		}
		list[i] = local + "@" + below + address.Address{Local: "x", Domain: domain}.DomainKey()
	}
	return list
}
