package mx

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Host is one host to try, with addresses in the order to try them.
type Host struct {
	// Name in A-labels, lower-case, without a final dot; as in the MX record even
	// if that is an alias. For an address literal its text: "[192.0.2.1]",
	// "[IPv6:2001:db8::1]".
	Name       string
	Preference uint16
	// Addresses in the order to try them; empty if Err is set.
	Addresses []netip.Addr
	// Secure says that the address records, aliases included, were authenticated.
	Secure bool
	// Err, an *Error, says why the host has no addresses; it is to be skipped.
	Err error
}

// Hosts is the answer for a next hop. It belongs to the caller.
type Hosts struct {
	// Domain is what was asked for: A-labels, lower-case, no final dot; a literal
	// keeps its brackets.
	Domain string
	// List holds the hosts in the order to try them. At least one has an address.
	List []Host
	// Implicit says that there is no MX record: the domain is its own host.
	Implicit bool
	// Secure says that the MX records, or their absence, were authenticated. From
	// LookupHost it is the host's own Secure, so that DANE (RFC 7672 §2.2) applies
	// to a host whenever both are set. Never set for literals.
	Secure bool
	// SelfRemoved says that this host was among those of the domain, and that
	// itself and all that are not preferred to it are left out.
	SelfRemoved bool
	// TTL is how long the answer may still be relied on.
	TTL time.Duration

	// site is the key made of the whole MX set, also of hosts not in List.
	site string
}

// Site is a key equal for next hops whose ordered host-name set is the same: hosts
// of equal preference count as a set, whatever order they are tried in.
func (h *Hosts) Site() string {
	if h.site != "" {
		return h.site
	}
	targets := make([]target, len(h.List))
	for i, host := range h.List {
		targets[i] = target{host.Name, host.Preference}
	}
	return siteOf(targets)
}

// target is an MX record's content.
type target struct {
	name       string
	preference uint16
}

// siteOf writes names as "a,b;c": ',' between equals, ';' before a worse preference.
// The numbers do not matter, only their order does.
func siteOf(targets []target) string {
	sorted := slices.SortedFunc(slices.Values(targets), func(a, b target) int {
		return cmp.Or(cmp.Compare(a.preference, b.preference), strings.Compare(a.name, b.name))
	})
	var b strings.Builder
	for i, t := range sorted {
		switch {
		case i == 0:
		case t.preference == sorted[i-1].preference:
			b.WriteByte(',')
		default:
			b.WriteByte(';')
		}
		b.WriteString(t.name)
	}
	return b.String()
}
