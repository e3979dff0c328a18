package address

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits in bytes: RFC 1035 §2.3.4 for names and labels as they go into the DNS,
// and the longest address literal there is, brackets and tag included.
const (
	maxDomain  = 253
	maxLabel   = 63
	maxLiteral = 64
)

// Qualify completes an address that has no domain with origin. The null
// reverse-path stays null.
func (a Address) Qualify(origin string) Address {
	if a.Domain == "" && a.Local != "" {
		a.Domain = origin
	}
	return a
}

// ASCII gives the address with its domain in A-labels (RFC 5890 §2.3.2.1), as DNS
// and hosts without SMTPUTF8 need it. The local part is left as it is.
func (a Address) ASCII() (Address, error) {
	d, err := toASCII(a.Domain)
	if err != nil {
		return Address{}, refuse(a.String(), err)
	}
	a.Domain = d
	return a, nil
}

// IsASCII reports whether the whole address is ASCII.
func (a Address) IsASCII() bool { return a.LocalIsASCII() && isASCII(a.Domain) }

// LocalIsASCII reports whether the local part is ASCII, so that the address can be
// sent to a host without SMTPUTF8.
func (a Address) LocalIsASCII() bool { return isASCII(a.Local) }

// DomainKey gives the domain in the form to compare and to route by: lower-case
// A-labels, a literal in its canonical spelling. A domain that has no such form
// is given in lower case.
func (a Address) DomainKey() string {
	if ip, ok := a.Literal(); ok {
		return formatLiteral(ip)
	}
	d, err := toASCII(a.Domain)
	if err != nil {
		d = a.Domain
	}
	return strings.ToLower(d)
}

// Key is equal for addresses that mean the same mailbox: local parts compare
// exactly, domains as DomainKey does.
func (a Address) Key() string {
	return quoteLocal(a.Local) + "@" + a.DomainKey()
}

// Literal gives the IP address if the domain is an address literal.
func (a Address) Literal() (netip.Addr, bool) {
	ip, err := parseLiteral(a.Domain)
	return ip, err == nil
}

// Unique joins lists of addresses and drops duplicates, keeping the first spelling.
func Unique(lists ...[]Address) []Address {
	seen := make(map[string]bool)
	var all []Address
	for _, list := range lists {
		for _, a := range list {
			if k := a.Key(); !seen[k] {
				seen[k] = true
				all = append(all, a)
			}
		}
	}
	return all
}

// checkDomain validates a domain as written and removes its final dot.
func checkDomain(d string) (string, error) {
	if strings.HasPrefix(d, "[") {
		_, err := parseLiteral(d)
		return d, err
	}
	d = strings.TrimSuffix(d, ".")
	if !utf8.ValidString(d) {
		return "", ErrUTF8
	}
	// U-labels are shorter or longer than the A-labels the limits hold for, which
	// toASCII checks.
	ascii := isASCII(d)
	if ascii && len(d) > maxDomain || len(d) > 4*maxDomain {
		return "", ErrDomain
	}
	for label := range strings.SplitSeq(d, ".") {
		if !validLabel(label) || ascii && len(label) > maxLabel {
			return "", ErrDomain
		}
	}
	return d, nil
}

// validLabel allows letters, digits, hyphens inside (RFC 5321 §4.1.2), the
// underscore that some hosts have, and any visible character beyond ASCII.
func validLabel(label string) bool {
	if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for _, r := range label {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
		case r < 0x80 || unicode.IsControl(r) || unicode.IsSpace(r):
			return false
		}
	}
	return true
}

// parseLiteral reads an address literal (RFC 5321 §4.1.3).
func parseLiteral(d string) (netip.Addr, error) {
	if len(d) < 2 || d[0] != '[' || d[len(d)-1] != ']' {
		return netip.Addr{}, errLiteral
	}
	text := d[1 : len(d)-1]
	const tag = "IPv6:"
	v6 := len(text) > len(tag) && strings.EqualFold(text[:len(tag)], tag)
	if v6 {
		text = text[len(tag):]
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || ip.Zone() != "" || ip.Is6() != v6 {
		return netip.Addr{}, errLiteral
	}
	return ip, nil
}

func formatLiteral(ip netip.Addr) string {
	if ip.Is6() {
		return "[IPv6:" + ip.String() + "]"
	}
	return "[" + ip.String() + "]"
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
