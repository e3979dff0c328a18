package mx

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// maxName and maxLabel are the limits of RFC 1035 §2.3.4 on names as written.
const (
	maxName  = 253
	maxLabel = 63
)

var errNameLength = fmt.Errorf("a domain name has 1 to %d octets", maxName)

// nextHop is a destination as parsed: a name, or an address if valid.
type nextHop struct {
	name    string
	address netip.Addr
}

// parseNextHop reads a domain or an address literal (RFC 5321 §4.1.3).
func parseNextHop(s string) (nextHop, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if !ok {
			return nextHop{}, errors.New("address literal lacks its closing bracket")
		}
		return parseLiteral(inner)
	}
	name, err := normalizeName(s)
	if err != nil {
		return nextHop{}, err
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if strings.Trim(last, "0123456789") == "" {
		return nextHop{}, errors.New("a bare address is no domain: write it in brackets")
	}
	return nextHop{name: name}, nil
}

// parseLiteral reads what is within the brackets. IPv6 addresses without their tag
// are taken too: people write them so in configuration files.
func parseLiteral(s string) (nextHop, error) {
	const tag = "ipv6:"
	text, tagged := s, false
	if len(s) > len(tag) && strings.EqualFold(s[:len(tag)], tag) {
		text, tagged = s[len(tag):], true
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || tagged && addr.Is4() {
		return nextHop{}, fmt.Errorf("%q is no address: want [192.0.2.1] or [IPv6:2001:db8::1]", s)
	}
	return literalHop(addr), nil
}

func literalHop(addr netip.Addr) nextHop {
	addr = addr.Unmap()
	if addr.Is4() {
		return nextHop{name: "[" + addr.String() + "]", address: addr}
	}
	return nextHop{name: "[IPv6:" + addr.String() + "]", address: addr}
}

// normalizeName gives a domain name in A-labels, lower-case, without a final dot.
func normalizeName(s string) (string, error) {
	ascii, err := toASCII(s)
	if err != nil {
		return "", fmt.Errorf("convert to A-labels: %w", err)
	}
	name := foldName(ascii)
	return name, checkName(name)
}

// checkName refuses what is no host name. MX targets come from strangers and end up
// in logs and handshakes.
func checkName(name string) error {
	if len(name) == 0 || len(name) > maxName {
		return errNameLength
	}
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return err
		}
	}
	return nil
}

// checkLabel takes letters, digits and hyphens, and underscores, which are in use
// though no host should have them.
func checkLabel(label string) error {
	if label == "" || len(label) > maxLabel {
		return fmt.Errorf("a label has 1 to %d octets", maxLabel)
	}
	for _, c := range []byte(label) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("character %q does not belong in a domain name", c)
		}
	}
	return nil
}
