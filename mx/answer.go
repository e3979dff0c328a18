package mx

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	typeMX   = dns.TypeMX
	typeA    = dns.TypeA
	typeAAAA = dns.TypeAAAA
)

// maxAliases bounds a chain of CNAME records; a loop is a chain that is too long.
const maxAliases = 10

// Bounds on how long answers are kept. The lower one lets a burst share an answer
// whatever the zone says; failures are kept just long enough for that too.
const (
	minTTL         = 5 * time.Second
	maxPositiveTTL = time.Hour
	maxNegativeTTL = 15 * time.Minute
	failureTTL     = 10 * time.Second
)

var errAliases = fmt.Errorf("more than %d aliases (CNAME) in a row, or a loop of them", maxAliases)

type status uint8

const (
	noError   status = iota
	nameError        // NXDOMAIN
)

// answer is what is known of the records of one type at one name. It is shared and
// never changed once made.
type answer struct {
	name      string // the last alias's target; what was asked for without aliases
	aliases   int
	pending   bool // the aliases end at name, which must be asked for itself
	status    status
	targets   []target
	addresses []netip.Addr
	secure    bool
	expires   time.Time
	err       *Error // no answer, and why
}

func (a *answer) ttl(now time.Time) time.Duration { return max(0, a.expires.Sub(now)) }

// newAnswer reads a response whose question has been checked. Only NOERROR and
// NXDOMAIN say anything of the name, and only from a server that is responsible.
func newAnswer(m *dns.Msg, name string, qtype uint16, now time.Time) (*answer, error) {
	a := &answer{name: name}
	if m.Rcode == dns.RcodeNameError {
		a.status = nameError
	}
	ttl := maxPositiveTTL
	for found := true; found; {
		var next string
		if next, found = alias(m.Answer, a.name, &ttl); found {
			a.name = next
			a.aliases++
		}
		if a.aliases > maxAliases {
			return nil, errAliases
		}
	}
	a.collect(m.Answer, qtype, &ttl)
	if len(a.targets) == 0 && len(a.addresses) == 0 {
		denied, deniedTTL := denial(m, a.name)
		a.pending = a.status == noError && a.aliases > 0 && !denied
		if a.aliases == 0 && isReferral(m) {
			return nil, errors.New("server is not responsible and referred us to others")
		}
		if !a.pending {
			ttl = min(ttl, deniedTTL, maxNegativeTTL)
		}
	} else {
		a.status = noError // a contradiction: what is there counts
	}
	a.expires = now.Add(max(ttl, minTTL))
	return a, nil
}

// alias finds a name's CNAME and lowers ttl to its TTL.
func alias(rrs []dns.RR, name string, ttl *time.Duration) (next string, found bool) {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok && foldName(c.Hdr.Name) == name && c.Hdr.Class == dns.ClassINET {
			lower(ttl, c.Hdr.Ttl)
			return foldName(c.Target), true
		}
	}
	return "", false
}

// collect takes the records asked for.
func (a *answer) collect(rrs []dns.RR, qtype uint16, ttl *time.Duration) {
	for _, rr := range rrs {
		hdr := rr.Header()
		if hdr.Rrtype != qtype || hdr.Class != dns.ClassINET || foldName(hdr.Name) != a.name {
			continue
		}
		lower(ttl, hdr.Ttl)
		switch rr := rr.(type) {
		case *dns.MX:
			a.targets = append(a.targets, target{foldName(rr.Mx), rr.Preference})
		case *dns.A:
			a.addAddress(rr.A)
		case *dns.AAAA:
			a.addAddress(rr.AAAA)
		}
	}
}

func (a *answer) addAddress(ip []byte) {
	if addr, ok := netip.AddrFromSlice(ip); ok {
		a.addresses = append(a.addresses, addr.Unmap())
	}
}

func lower(ttl *time.Duration, seconds uint32) {
	*ttl = min(*ttl, time.Duration(seconds)*time.Second)
}

// denial reports whether the response proves by an SOA record that it is complete
// for the name, and for how long that holds (RFC 2308 §5).
func denial(m *dns.Msg, name string) (denied bool, ttl time.Duration) {
	for _, rr := range m.Ns {
		soa, ok := rr.(*dns.SOA)
		if ok && dns.IsSubDomain(soa.Hdr.Name, dns.Fqdn(name)) {
			return true, time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second
		}
	}
	return false, 0
}

// isReferral tells a delegation from an empty answer (RFC 2308 §2.2): it comes from
// a server that neither owns the name nor recurses, or names servers but no SOA.
func isReferral(m *dns.Msg) bool {
	if m.Authoritative || m.Rcode != dns.RcodeSuccess {
		return false
	}
	ns, soa := false, false
	for _, rr := range m.Ns {
		switch rr.(type) {
		case *dns.NS:
			ns = true
		case *dns.SOA:
			soa = true
		}
	}
	return !soa && (ns || !m.RecursionAvailable)
}

// foldName gives a name as this package writes it.
func foldName(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }
