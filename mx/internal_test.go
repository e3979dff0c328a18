package mx

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestParseResolvConf(t *testing.T) {
	tests := []struct {
		name, text string
		servers    []string
		trust      bool
		timeout    time.Duration
		rounds     int
	}{
		{"empty", "", []string{"127.0.0.1:53"}, false, 0, 0},
		{"plain", "nameserver 192.0.2.1\nnameserver 2001:db8::1\n", []string{"192.0.2.1:53", "[2001:db8::1]:53"}, false, 0, 0},
		{"no final newline", "nameserver 192.0.2.1", []string{"192.0.2.1:53"}, false, 0, 0},
		{"link-local", "nameserver fe80::1%eth0\n", []string{"[fe80::1%eth0]:53"}, false, 0, 0},
		{"no more than three", strings.Repeat("nameserver 192.0.2.1\n", 5), []string{"192.0.2.1:53", "192.0.2.1:53", "192.0.2.1:53"}, false, 0, 0},
		{"not an address", "nameserver dns.example\nnameserver\n", []string{"127.0.0.1:53"}, false, 0, 0},
		{"trust", "options edns0 trust-ad\n", []string{"127.0.0.1:53"}, true, 0, 0},
		{"trust on a second line", "options edns0\n options  rotate\ttrust-ad\n", []string{"127.0.0.1:53"}, true, 0, 0},
		{"commented out", "# options trust-ad\n;options trust-ad\n", []string{"127.0.0.1:53"}, false, 0, 0},
		{"other words", "options trust-ad:1 no-trust-ad xtrust-ad\nsearch trust-ad\n", []string{"127.0.0.1:53"}, false, 0, 0},
		{"numbers", "options timeout:3 attempts:4\n", []string{"127.0.0.1:53"}, false, 3 * time.Second, 4},
		{"limits", "options timeout:99999999999 timeout:9999 attempts:99\n", []string{"127.0.0.1:53"}, false, 30 * time.Second, 5},
		{"nonsense", "options timeout:-1 attempts:0 timeout: attempts:x\n", []string{"127.0.0.1:53"}, false, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := parseResolvConf(strings.NewReader(tt.text))
			var servers []string
			for _, s := range c.servers {
				servers = append(servers, s.String())
			}
			if !slices.Equal(servers, tt.servers) || c.trustAD != tt.trust || c.timeout != tt.timeout || c.rounds != tt.rounds {
				t.Errorf("got %v trust %v timeout %v rounds %d", servers, c.trustAD, c.timeout, c.rounds)
			}
		})
	}
}

// Whose AD bit counts cannot be seen from outside for servers that are not on
// loopback: tests have none.
func TestWhoseADBitCounts(t *testing.T) {
	remote, loopback := netip.MustParseAddrPort("192.0.2.1:53"), netip.MustParseAddrPort("[::ffff:127.0.0.53]:53")
	tests := []struct {
		trust  string
		option bool
		server netip.AddrPort
		want   bool
	}{
		{"auto", false, remote, false}, {"auto", true, remote, true}, {"auto", false, loopback, true},
		{"yes", false, remote, true}, {"no", true, remote, false}, {"no", true, loopback, false},
	}
	for _, tt := range tests {
		c := client{trust: tt.trust}
		if got := c.trusts(tt.server, config{trustAD: tt.option}); got != tt.want {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

func TestToASCII(t *testing.T) {
	for in, want := range map[string]string{
		"Example.COM":      "example.com",
		"münchen.de":       "xn--mnchen-3ya.de",
		"MÜNCHEN.de":       "xn--mnchen-3ya.de",
		"mu\u0308nchen.de": "xn--mnchen-3ya.de",
		"straße.de":        "xn--strae-oqa.de",
		"例え。テスト":           "xn--r8jz45g.xn--zckzah",
		"пример.рф":        "xn--e1afmkfd.xn--p1ai",
		"παράδειγμα.gr":    "xn--hxajbheg2az3al.gr",
		"उदाहरण.भारत":      "xn--p1b6ci4b4b3a.xn--h2brj9c",
		"ｅｘａｍｐｌｅ．com":      "example.com",
		"他们为什么不说中文":        "xn--ihqwcrb4cv8a8dqg056pqjye",
	} {
		if got, err := toASCII(in); got != want || err != nil {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"\xff.de", "\u0301a.de", "\u2028.de", "\u093ea.de"} {
		if got, err := toASCII(in); err == nil {
			t.Errorf("%q: became %q", in, got)
		}
	}
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 192.0.2.1\noptions trust-ad timeout:3\n")
	f.Add("options timeout:\nnameserver fe80::1%x\n\x00")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseResolvConf(strings.NewReader(text))
		if len(c.servers) == 0 || len(c.servers) > maxServers {
			t.Errorf("%d servers", len(c.servers))
		}
		if c.timeout < 0 || c.timeout > maxConfTimeout || c.rounds < 0 || c.rounds > maxConfRounds {
			t.Errorf("timeout %v, rounds %d", c.timeout, c.rounds)
		}
		if c.trustAD && !strings.Contains(text, "trust-ad") {
			t.Error("trust out of nothing")
		}
	})
}

func FuzzNextHop(f *testing.F) {
	for _, s := range []string{"example.com.", "[192.0.2.1]", "[IPv6:::1]", "münchen.de", "例え。テスト", "a..b", "[", "192.0.2.1", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		hop, err := parseNextHop(s)
		if err != nil {
			return
		}
		if !hop.address.IsValid() && checkName(hop.name) != nil {
			t.Errorf("%q gave the bad name %q", s, hop.name)
		}
		again, err := parseNextHop(hop.name)
		if err != nil || again != hop {
			t.Errorf("%q gave %q, and that gives %q, %v", s, hop.name, again.name, err)
		}
	})
}

// FuzzAnswer reads arbitrary messages as answers, without the way over a socket.
func FuzzAnswer(f *testing.F) {
	query := newQuery(question{"fuzz.example", typeMX}, false)
	query.Id = 0
	for _, rrs := range []string{"fuzz.example. 60 IN MX 10 a.example.", "fuzz.example. 0 IN CNAME fuzz.example.", "fuzz.example. 4294967295 IN MX 0 ."} {
		m := new(dns.Msg).SetReply(query)
		rr, err := dns.NewRR(rrs)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
		raw, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	now := time.Unix(1e9, 0)
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := new(dns.Msg)
		if m.Unpack(raw) != nil || !belongs(m, query) {
			return
		}
		for _, qtype := range []uint16{typeMX, typeA, typeAAAA} {
			a, err := newAnswer(m, "fuzz.example", qtype, now)
			if err != nil {
				continue
			}
			if ttl := a.ttl(now); ttl < minTTL || ttl > maxPositiveTTL {
				t.Errorf("kept for %v", ttl)
			}
			if a.aliases > maxAliases || a.pending && (a.aliases == 0 || len(a.targets)+len(a.addresses) > 0) {
				t.Errorf("contradiction: %+v", a)
			}
		}
	})
}
