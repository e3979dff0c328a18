package policy

import (
	"strconv"
	"strings"
)

// The ports of relaying and of submission over TLS (RFC 8314 §3.3).
const (
	relayPort       = 25
	implicitTLSPort = 465
)

// NextHop parts a smarthost's address. Without a port it is a domain whose MX
// hosts are meant. A literal, with a port or without, counts as one.
func (s Smarthost) NextHop() (host string, port uint16, byMX bool) {
	literal := strings.HasPrefix(s.Address, "[")
	if i := strings.LastIndexByte(s.Address, ':'); i >= 0 && !strings.HasSuffix(s.Address, "]") {
		if n, err := strconv.ParseUint(s.Address[i+1:], 10, 16); err == nil {
			return s.Address[:i], uint16(n), literal
		}
	}
	if s.Implicit {
		return s.Address, implicitTLSPort, true
	}
	return s.Address, relayPort, true
}
