package mx_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/dnstest"
	"postrider/mx"
)

const lookupZone = `
	plain.example.       300 IN MX 20 B.plain.example.
	plain.example.       300 IN MX 10 a.plain.example.
	plain.example.       300 IN A  192.0.2.99
	a.plain.example.     300 IN A  192.0.2.1
	b.plain.example.     300 IN A  192.0.2.2
	b.plain.example.     300 IN AAAA 2001:db8::2

	implicit.example.    300 IN A  192.0.2.3
	implicit6.example.   300 IN AAAA 2001:db8::3
	text.example.        300 IN TXT "neither mail nor host"
	null.example.        300 IN MX 0 .
	null.example.        300 IN A  192.0.2.4
	dots.example.        300 IN MX 0 .
	dots.example.        300 IN MX 10 a.plain.example.
	dot10.example.       300 IN MX 10 .
	dangling.example.    300 IN MX 10 gone.example.
	dangling.example.    300 IN MX 20 text.example.
	dangling.example.    300 IN A  192.0.2.5
	half.example.        300 IN MX 10 gone.example.
	half.example.        300 IN MX 20 a.plain.example.
	mapped.example.      300 IN AAAA ::ffff:192.0.2.6
	twice.example.       300 IN MX 10 a.plain.example.
	twice.example.       300 IN MX 30 A.PLAIN.example.
	odd.example.         300 IN MX 10 a\032b.example.
	odd.example.         300 IN MX 20 a.plain.example.
	_under.example.      300 IN A 192.0.2.7
	xn--mnchen-3ya.example. 300 IN A 192.0.2.8
	mixed.example.       300 IN MX 10 fails.example.
	mixed.example.       300 IN MX 20 gone.example.
	better.example.      300 IN MX 10 fails.example.
	better.example.      300 IN MX 20 a.plain.example.
	half4.example.       300 IN A 192.0.2.9
	both.example.        300 IN A 192.0.2.10
	both.example.        300 IN A 192.0.2.11
	both.example.        300 IN A 192.0.2.12
	both.example.        300 IN AAAA 2001:db8::10
	both.example.        300 IN AAAA 2001:db8::11

	alias.example.       300 IN CNAME plain.example.
	hostalias.example.   300 IN CNAME implicit.example.
	aliasgone.example.   300 IN CNAME gone.example.
	mxalias.example.     300 IN MX 10 hostalias.example.
	loop1.example.       300 IN CNAME loop2.example.
	loop2.example.       300 IN CNAME loop1.example.
	self.example.        300 IN CNAME self.example.
	c0.example.          300 IN CNAME c1.example.
	c1.example.          300 IN CNAME c2.example.
	c2.example.          300 IN CNAME c3.example.
	c3.example.          300 IN CNAME c4.example.
	c4.example.          300 IN CNAME c5.example.
	c5.example.          300 IN CNAME c6.example.
	c6.example.          300 IN CNAME c7.example.
	c7.example.          300 IN CNAME c8.example.
	c8.example.          300 IN CNAME c9.example.
	c9.example.          300 IN CNAME c10.example.
	c10.example.         300 IN CNAME plain.example.
`

func lookupServer(t *testing.T) *dnstest.Server {
	s := dnstest.New(t, lookupZone)
	s.ServFail("fails.example")
	s.ServFail("servfail.example")
	s.Set("half4.example", "AAAA", dnstest.Behaviour{Rcode: "SERVFAIL"})
	s.Set("refused.example", "", dnstest.Behaviour{Rcode: "REFUSED"})
	s.Set("referral.example", "", dnstest.Behaviour{Referral: true})
	s.Set("notimp.example", "", dnstest.Behaviour{Rcode: "NOTIMP"})
	return s
}

func TestLookup(t *testing.T) {
	r := newResolver(t, lookupServer(t), nil)
	for next, want := range map[string]string{
		"plain.example":          "10 a.plain.example 192.0.2.1; 20 b.plain.example 2001:db8::2,192.0.2.2",
		"PLAIN.Example.":         "10 a.plain.example 192.0.2.1; 20 b.plain.example 2001:db8::2,192.0.2.2",
		"implicit.example":       "0 implicit.example 192.0.2.3",
		"implicit6.example":      "0 implicit6.example 2001:db8::3",
		"dots.example":           "10 a.plain.example 192.0.2.1",
		"half.example":           "10 gone.example (domain does not exist); 20 a.plain.example 192.0.2.1",
		"better.example":         "10 fails.example (DNS servers failed); 20 a.plain.example 192.0.2.1",
		"mapped.example":         "0 mapped.example 192.0.2.6",
		"twice.example":          "10 a.plain.example 192.0.2.1",
		"odd.example":            `10 a\ b.example (not a domain name or address literal); 20 a.plain.example 192.0.2.1`,
		"_under.example":         "0 _under.example 192.0.2.7",
		"München.example":        "0 xn--mnchen-3ya.example 192.0.2.8",
		"xn--mnchen-3ya.example": "0 xn--mnchen-3ya.example 192.0.2.8",
		"half4.example":          "0 half4.example 192.0.2.9",
		"both.example":           "0 both.example 2001:db8::10,192.0.2.10,2001:db8::11,192.0.2.11,192.0.2.12",
		"localhost":              "0 localhost ::1,127.0.0.1",
		"alias.example":          "10 a.plain.example 192.0.2.1; 20 b.plain.example 2001:db8::2,192.0.2.2",
		"hostalias.example":      "0 hostalias.example 192.0.2.3",
		"mxalias.example":        "10 hostalias.example 192.0.2.3",
		"c1.example":             "10 a.plain.example 192.0.2.1; 20 b.plain.example 2001:db8::2,192.0.2.2",
		"[192.0.2.20]":           "0 [192.0.2.20] 192.0.2.20",
		"[IPv6:2001:db8::20]":    "0 [IPv6:2001:db8::20] 2001:db8::20",
		"[ipv6:2001:DB8:0::20]":  "0 [IPv6:2001:db8::20] 2001:db8::20",
		"[2001:db8::20]":         "0 [IPv6:2001:db8::20] 2001:db8::20",
	} {
		t.Run(next, func(t *testing.T) {
			h := mustLookup(t, r, next)
			if got := show(h); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if h.SelfRemoved || h.Secure {
				t.Errorf("SelfRemoved %v, Secure %v: want neither", h.SelfRemoved, h.Secure)
			}
			literal := strings.HasPrefix(next, "[")
			if want := strings.HasPrefix(show(h), "0 ") && !literal; h.Implicit != want {
				t.Errorf("Implicit is %v, want %v", h.Implicit, want)
			}
			if h.TTL <= 0 {
				t.Errorf("TTL is %v", h.TTL)
			}
		})
	}
}

func TestLookupErrors(t *testing.T) {
	s := lookupServer(t)
	r := newResolver(t, s, nil)
	long := strings.Repeat("a", 64)
	tests := []struct {
		next   string
		kind   mx.Kind
		status string
		code   int
	}{
		{"gone.example", mx.NoDomain, "5.1.2", 550},
		{"aliasgone.example", mx.NoDomain, "5.1.2", 550},
		{"text.example", mx.NoHost, "5.4.4", 550},
		{"null.example", mx.NullMX, "5.1.10", 556},
		{"dot10.example", mx.NoUsableMX, "5.4.4", 550},
		{"dangling.example", mx.NoUsableMX, "5.4.4", 550},
		{"mixed.example", mx.ServFail, "4.4.3", 451},
		{"servfail.example", mx.ServFail, "4.4.3", 451},
		{"notimp.example", mx.ServFail, "4.4.3", 451},
		{"referral.example", mx.ServFail, "4.4.3", 451},
		{"refused.example", mx.Refused, "4.4.3", 451},
		{"loop1.example", mx.ServFail, "4.4.3", 451},
		{"self.example", mx.ServFail, "4.4.3", 451},
		{"c0.example", mx.ServFail, "4.4.3", 451},
		{"", mx.Malformed, "5.1.2", 550},
		{".", mx.Malformed, "5.1.2", 550},
		{"a..example", mx.Malformed, "5.1.2", 550},
		{".example", mx.Malformed, "5.1.2", 550},
		{"example..", mx.Malformed, "5.1.2", 550},
		{"a b.example", mx.Malformed, "5.1.2", 550},
		{"a\nb.example", mx.Malformed, "5.1.2", 550},
		{"user@a.example", mx.Malformed, "5.1.2", 550},
		{long + ".example", mx.Malformed, "5.1.2", 550},
		{strings.Repeat("a.", 127) + "aa", mx.Malformed, "5.1.2", 550},
		{"192.0.2.1", mx.Malformed, "5.1.2", 550},
		{"2001:db8::1", mx.Malformed, "5.1.2", 550},
		{"[192.0.2.1", mx.Malformed, "5.1.2", 550},
		{"[192.0.2.256]", mx.Malformed, "5.1.2", 550},
		{"[IPv6:192.0.2.1]", mx.Malformed, "5.1.2", 550},
		{"[fe80::1%lo]", mx.Malformed, "5.1.2", 550},
		{"[]", mx.Malformed, "5.1.2", 550},
		{"[IPv6:]", mx.Malformed, "5.1.2", 550},
		{"[x-tag:something]", mx.Malformed, "5.1.2", 550},
	}
	for _, tt := range tests {
		t.Run(tt.next, func(t *testing.T) {
			e := wantKind(t, r, tt.next, tt.kind)
			if e.Status() != tt.status || e.Code() != tt.code || e.Temporary() != (tt.code == 451) {
				t.Errorf("got %d %s, temporary %v; want %d %s", e.Code(), e.Status(), e.Temporary(), tt.code, tt.status)
			}
			if !strings.Contains(e.Error(), tt.kind.String()) || !strings.Contains(e.Error(), fmt.Sprintf("%q", e.Domain)) {
				t.Errorf("text %q lacks kind or domain", e)
			}
		})
	}
	// Hosts without MX records are never asked for where there is an MX record.
	for _, name := range []string{"null.example", "dangling.example", "dot10.example", "servfail.example"} {
		if n := s.Queries(name, "A") + s.Queries(name, "AAAA"); n != 0 {
			t.Errorf("%s was asked for its own address", name)
		}
	}
}

func TestAliasesOfServersThatDoNotChase(t *testing.T) {
	s := dnstest.New(t, lookupZone)
	s.Set("", "", dnstest.Behaviour{NoChase: true})
	r := newResolver(t, s, nil)
	for next, want := range map[string]string{
		"c1.example":        "10 a.plain.example 192.0.2.1; 20 b.plain.example 2001:db8::2,192.0.2.2",
		"mxalias.example":   "10 hostalias.example 192.0.2.3",
		"hostalias.example": "0 hostalias.example 192.0.2.3",
	} {
		if got := show(mustLookup(t, r, next)); got != want {
			t.Errorf("%s: got %s, want %s", next, got, want)
		}
	}
	if n := s.Queries("plain.example", "MX"); n != 1 {
		t.Errorf("the aliases' target was asked for %d times, want 1", n)
	}
	wantKind(t, r, "loop1.example", mx.ServFail)
	wantKind(t, r, "self.example", mx.ServFail)
	wantKind(t, r, "c0.example", mx.ServFail)
	wantKind(t, r, "aliasgone.example", mx.NoDomain)
	if n := s.Queries("loop1.example", "MX"); n > 2 {
		t.Errorf("a loop was followed %d times", n)
	}
}

func TestLookupHost(t *testing.T) {
	s := lookupServer(t)
	s.Set("secure.example", "", dnstest.Behaviour{AD: true})
	if err := s.SetZone(lookupZone + "secure.example. 300 IN A 192.0.2.30\n"); err != nil {
		t.Fatal(err)
	}
	// A name or address of ours is no loop here: the smarthost has a port of its own.
	r := newResolver(t, s, func(o *mx.Options) { o.Self.Names = []string{"plain.example"} })
	for name, want := range map[string]string{
		"plain.example":      "0 plain.example 192.0.2.99",
		"null.example":       "0 null.example 192.0.2.4",
		"hostalias.example":  "0 hostalias.example 192.0.2.3",
		"secure.example":     "0 secure.example 192.0.2.30",
		"localhost":          "0 localhost ::1,127.0.0.1",
		"192.0.2.1":          "0 [192.0.2.1] 192.0.2.1",
		"[192.0.2.1]":        "0 [192.0.2.1] 192.0.2.1",
		"2001:db8::1":        "0 [IPv6:2001:db8::1] 2001:db8::1",
		"[IPv6:2001:db8::1]": "0 [IPv6:2001:db8::1] 2001:db8::1",
	} {
		h, err := r.LookupHost(t.Context(), name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := show(h); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if secure := name == "secure.example"; h.Implicit || h.Secure != secure || h.List[0].Secure != secure {
			t.Errorf("%s: Implicit %v, Secure %v", name, h.Implicit, h.Secure)
		}
	}
	if n := s.Queries("", "MX"); n != 0 {
		t.Errorf("%d questions for MX records, want none", n)
	}
	for name, kind := range map[string]mx.Kind{
		"gone.example": mx.NoDomain, "text.example": mx.NoHost, "servfail.example": mx.ServFail, "a b": mx.Malformed, "": mx.Malformed,
	} {
		h, err := r.LookupHost(t.Context(), name)
		checkKind(t, name, h, err, kind)
	}
}

func TestFamily(t *testing.T) {
	s := lookupServer(t)
	s.Set("half6.example", "A", dnstest.Behaviour{Rcode: "SERVFAIL"})
	for family, want := range map[mx.Family]string{
		"":            "2001:db8::10,192.0.2.10,2001:db8::11,192.0.2.11,192.0.2.12",
		mx.AnyFamily:  "2001:db8::10,192.0.2.10,2001:db8::11,192.0.2.11,192.0.2.12",
		mx.IPv4Only:   "192.0.2.10,192.0.2.11,192.0.2.12",
		mx.IPv6Only:   "2001:db8::10,2001:db8::11",
		mx.PreferIPv4: "192.0.2.10,192.0.2.11,192.0.2.12,2001:db8::10,2001:db8::11",
		mx.PreferIPv6: "2001:db8::10,2001:db8::11,192.0.2.10,192.0.2.11,192.0.2.12",
	} {
		r := newResolver(t, s, func(o *mx.Options) { o.Family = family })
		if got := show(mustLookup(t, r, "both.example")); got != "0 both.example "+want {
			t.Errorf("%s: got %s, want %s", family, got, want)
		}
	}

	// What the configuration rules out is no reason to bounce.
	only4 := newResolver(t, s, func(o *mx.Options) { o.Family = mx.IPv4Only })
	only6 := newResolver(t, s, func(o *mx.Options) { o.Family = mx.IPv6Only })
	for _, e := range []*mx.Error{
		wantKind(t, only4, "implicit6.example", mx.WrongFamily),
		wantKind(t, only4, "[IPv6:2001:db8::1]", mx.WrongFamily),
		wantKind(t, only6, "implicit.example", mx.WrongFamily),
		wantKind(t, only6, "[192.0.2.1]", mx.WrongFamily),
	} {
		if !e.Temporary() || e.Status() != "4.4.4" {
			t.Errorf("%v: temporary %v, status %s", e, e.Temporary(), e.Status())
		}
	}
	wantKind(t, only4, "text.example", mx.NoHost)
	s.ResetQueries()
	mustLookup(t, only4, "half4.example") // its AAAA lookup would fail
	if n := s.Queries("half4.example", "AAAA"); n != 0 {
		t.Error("asked for IPv6 addresses that are not wanted")
	}
}

func TestAtMostTwentyHosts(t *testing.T) {
	var zone strings.Builder
	for i := range 50 {
		fmt.Fprintf(&zone, "many.example. 300 IN MX %d h%d.many.example.\n", i, i)
		fmt.Fprintf(&zone, "h%d.many.example. 300 IN A 192.0.2.%d\n", i, i+1)
	}
	s := dnstest.New(t, zone.String())
	h := mustLookup(t, newResolver(t, s, nil), "many.example")
	if len(h.List) != 20 || h.List[19].Name != "h19.many.example" {
		t.Errorf("got %d hosts: %s", len(h.List), show(h))
	}
	if n := s.Queries("", "A"); n != 20 {
		t.Errorf("%d hosts were looked up, want 20", n)
	}
	if !strings.Contains(h.Site(), "h49.many.example") {
		t.Error("the key leaves hosts out")
	}
}

func TestShuffleIsFairForEachCall(t *testing.T) {
	s := dnstest.New(t, `
		fair.example. 300 IN MX 10 a.fair.example.
		fair.example. 300 IN MX 10 b.fair.example.
		fair.example. 300 IN MX 10 c.fair.example.
		fair.example. 300 IN MX 20 d.fair.example.
		*.fair.example. 300 IN A 192.0.2.1`)
	for name, change := range map[string]func(*mx.Options){"own": nil, "given": func(o *mx.Options) { o.Rand = fixedRand() }} {
		r := newResolver(t, s, change)
		first, site := map[string]int{}, ""
		const calls = 900
		for range calls {
			h := mustLookup(t, r, "fair.example")
			first[h.List[0].Name]++
			if h.List[3].Name != "d.fair.example" {
				t.Fatalf("preference is not kept: %s", show(h))
			}
			if site != "" && h.Site() != site {
				t.Fatalf("site changes with the order: %q, %q", site, h.Site())
			}
			site = h.Site()
		}
		for _, host := range []string{"a.fair.example", "b.fair.example", "c.fair.example"} {
			if n := first[host]; n < calls/4 || n > calls*5/12 {
				t.Errorf("%s generator: %s came first %d times of %d", name, host, n, calls)
			}
		}
	}
}

func TestSite(t *testing.T) {
	s := dnstest.New(t, `
		one.example.   300 IN MX 10 a.site.example.
		one.example.   300 IN MX 20 b.site.example.
		two.example.   300 IN MX 5  A.site.example.
		two.example.   300 IN MX 7  b.site.example.
		equal.example. 300 IN MX 10 b.site.example.
		equal.example. 300 IN MX 10 a.site.example.
		back.example.  300 IN MX 10 b.site.example.
		back.example.  300 IN MX 20 a.site.example.
		lone.example.  300 IN MX 10 a.site.example.
		*.site.example. 300 IN A 192.0.2.1`)
	r := newResolver(t, s, nil)
	sites := map[string]string{}
	for _, next := range []string{"one.example", "two.example", "equal.example", "back.example", "lone.example"} {
		h := mustLookup(t, r, next)
		sites[next] = h.Site()
		rebuilt := mx.Hosts{Domain: h.Domain, List: h.List}
		if rebuilt.Site() != h.Site() {
			t.Errorf("%s: site of the list %q differs from that of the records %q", next, rebuilt.Site(), h.Site())
		}
	}
	if sites["one.example"] != sites["two.example"] {
		t.Errorf("the same hosts have different sites %q and %q", sites["one.example"], sites["two.example"])
	}
	distinct := map[string]bool{}
	for _, site := range sites {
		distinct[site] = true
	}
	if len(distinct) != 4 {
		t.Errorf("sites run together: %v", sites)
	}
	host, err := r.LookupHost(t.Context(), "a.site.example")
	if err != nil || host.Site() != sites["lone.example"] {
		t.Errorf("site of the host itself is %q, want %q; error %v", host.Site(), sites["lone.example"], err)
	}
}

func TestHostsBelongToTheCaller(t *testing.T) {
	s := lookupServer(t)
	r := newResolver(t, s, func(o *mx.Options) { o.Family = mx.IPv4Only })
	h := mustLookup(t, r, "both.example")
	want := show(h)
	h.List[0].Addresses[0] = h.List[0].Addresses[1]
	h.List[0].Name = "changed"
	if got := show(mustLookup(t, r, "both.example")); got != want {
		t.Errorf("a caller's change reached the cache: %s", got)
	}
}
