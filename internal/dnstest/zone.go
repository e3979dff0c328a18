package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// maxChase bounds the aliases followed for one answer.
const maxChase = 16

// zone is all records by owner, in the order they were written.
type zone struct {
	records map[string][]dns.RR
	// exists holds owners and all names above them.
	exists map[string]bool
}

func parseZone(text string) (*zone, error) {
	z := &zone{records: map[string][]dns.RR{}, exists: map[string]bool{}}
	p := dns.NewZoneParser(strings.NewReader(unindent(text)), ".", "")
	p.SetDefaultTTL(300)
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		owner := strings.ToLower(rr.Header().Name)
		z.records[owner] = append(z.records[owner], rr)
		for name := owner; name != "."; name = parent(name) {
			z.exists[name] = true
		}
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("parse zone: %w", err)
	}
	return z, nil
}

// unindent drops leading blanks: in a master file they would mean "same owner as
// before", in a string literal they are indentation.
func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(lines, "\n") + "\n"
}

func parent(name string) string {
	if _, up, _ := strings.Cut(name, "."); up != "" {
		return up
	}
	return "."
}

// answer fills in m as a resolver would.
func (z *zone) answer(m *dns.Msg, name string, qtype uint16, chase bool) {
	name = strings.ToLower(name)
	for range maxChase {
		records, ok := z.find(name)
		if !ok {
			m.Rcode = dns.RcodeNameError
			m.Ns = z.authority(name)
			return
		}
		found, target := pick(records, name, qtype)
		m.Answer = append(m.Answer, found...)
		if target == "" {
			if len(found) == 0 {
				m.Ns = z.authority(name)
			}
			return
		}
		if !chase {
			return
		}
		name = strings.ToLower(target)
	}
}

// find gives the records of a name, its own or a wildcard's, and whether it exists.
func (z *zone) find(name string) ([]dns.RR, bool) {
	if z.exists[name] {
		return z.records[name], true
	}
	for up := name; up != "."; {
		up = parent(up)
		if rrs, ok := z.records["*."+strings.TrimSuffix(up, ".")+"."]; ok {
			return rrs, true
		}
		if z.exists[up] {
			break
		}
	}
	return nil, false
}

// pick selects what answers qtype, under the owner name that was asked for; target
// is set if that is an alias.
func pick(records []dns.RR, owner string, qtype uint16) (found []dns.RR, target string) {
	for _, rr := range records {
		alias, isAlias := rr.(*dns.CNAME)
		if rr.Header().Rrtype != qtype && !isAlias {
			continue
		}
		rr = dns.Copy(rr)
		rr.Header().Name = owner
		found = append(found, rr)
		if isAlias && qtype != dns.TypeCNAME {
			target = alias.Target
		}
	}
	return found, target
}

func (z *zone) authority(name string) []dns.RR {
	for ; name != "."; name = parent(name) {
		for _, rr := range z.records[name] {
			if rr.Header().Rrtype == dns.TypeSOA {
				return []dns.RR{rr}
			}
		}
	}
	return nil
}
