package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// check applies the rules that span the keys of how mail comes in.
func (s *Submission) check() error {
	if (s.CertificateFile == "") != (s.KeyFile == "") {
		return fmt.Errorf("submission.certificate_file and submission.key_file belong together; set both or none")
	}
	for i, entry := range s.Listen {
		l, err := ParseListener(entry)
		if err != nil {
			return fmt.Errorf("submission.listen: %w", err)
		}
		for _, before := range s.Listen[:i] {
			if b, err := ParseListener(before); err == nil && overlap(l.Address, b.Address) {
				return fmt.Errorf("submission.listen: %q and %q want the same port of the same address; leave one of them out", before, entry)
			}
		}
		if l.Service != ServeRelay && s.CertificateFile == "" {
			return fmt.Errorf("submission.listen: %q needs TLS, for passwords go over it; set submission.certificate_file and submission.key_file", entry)
		}
	}
	for _, text := range s.TrustedNetworks {
		if err := checkTrusted(text, s.TrustPublicNetworks); err != nil {
			return fmt.Errorf("submission.trusted_networks: %w", err)
		}
	}
	return nil
}

// overlap reports whether two listeners cannot be there together.
func overlap(a, b netip.AddrPort) bool {
	x, y := a.Addr().Unmap(), b.Addr().Unmap()
	return a.Port() == b.Port() && a.Port() != 0 && (x == y || x.Is4() == y.Is4() && (x.IsUnspecified() || y.IsUnspecified()))
}

// The shortest prefixes of public addresses that may be trusted: what is larger is
// nobody's own network.
const (
	minPublicBits4 = 8
	minPublicBits6 = 16
)

// checkTrusted keeps this host from relaying for everybody.
func checkTrusted(text string, publicToo bool) error {
	p, err := parseNetwork(text)
	if err != nil {
		return err
	}
	least := minPublicBits4
	if p.Addr().Is6() {
		least = minPublicBits6
	}
	switch {
	case p.Bits() == 0:
		return fmt.Errorf("%q is everybody: this host would relay spam for the whole Internet; name your own networks, or let clients log in (submission://)", text)
	case isPrivateNetwork(p):
		return nil
	case p.Bits() < least:
		return fmt.Errorf("%q is more of the Internet than anybody owns; name your own networks, or let clients log in (submission://)", text)
	case !publicToo:
		return fmt.Errorf("%q has public addresses, for which this host would relay mail to anywhere; if they all are yours set submission.trust_public_networks = true", text)
	}
	return nil
}

// parseNetwork reads a network in CIDR notation.
func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, fmt.Errorf("%q is not a network such as 192.168.7.0/24 or fd00:7::/64; a single host is written with /32 or /128", text)
	}
	if p.Addr().Is4In6() {
		return p, fmt.Errorf("%q is an IPv4 network in IPv6 notation; write it as %s", text, strings.TrimPrefix(p.Addr().String(), "::ffff:")+"/N")
	}
	return p.Masked(), nil
}

// isPrivateNetwork reports whether no address of the network is routed on the
// Internet: loopback, RFC 1918, RFC 6598, link-local and RFC 4193.
func isPrivateNetwork(p netip.Prefix) bool {
	for _, text := range [...]string{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
		"169.254.0.0/16", "::1/128", "fc00::/7", "fe80::/10"} {
		private := netip.MustParsePrefix(text)
		if p.Bits() >= private.Bits() && private.Contains(p.Addr()) {
			return true
		}
	}
	return false
}

// Trusted gives the networks of trusted_networks.
func (s *Submission) Trusted() []netip.Prefix {
	var list []netip.Prefix
	for _, text := range s.TrustedNetworks {
		if p, err := parseNetwork(text); err == nil {
			list = append(list, p)
		}
	}
	return list
}
