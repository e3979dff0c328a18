package policy_test

import (
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/policy"
)

func addr(s string) address.Address {
	local, domain, _ := strings.Cut(s, "@")
	return address.Address{Local: local, Domain: domain}
}

func TestRoute(t *testing.T) {
	routes := policy.NewRoutes(policy.Options{
		LocalDomains: []string{"localhost", "Host.Example."},
		Smarthosts: []policy.Smarthost{
			{Address: "partner.example:25", ForRecipients: []string{"*@partner.example", "@.partner.example"}},
			{Address: "sales.example:587", Username: "sales", ForSenders: []string{"sales@host.example", "<>"}},
			{Address: "sales2.example:587", ForSenders: []string{"sales@host.example"}},
		},
		Exceptions: []policy.TLSException{{Match: "bank.example", Require: policy.Verified}, {Match: ".old.example", Require: policy.Clear}},
	})
	for _, tt := range []struct {
		from, to    string
		destination string
		kind        policy.Kind
		tls         policy.Requirement
	}{
		{"a@host.example", "bob@HOST.example", "local:", policy.Local, 0},
		{"a@host.example", "bob@localhost", "local:", policy.Local, 0},
		{"a@host.example", "bob", "local:", policy.Local, 0},
		{"a@host.example", "b@Other.Example", "other.example", policy.Direct, policy.Opportunistic},
		{"a@host.example", "b@bank.example", "bank.example", policy.Direct, policy.Verified},
		{"a@host.example", "b@x.old.example", "x.old.example", policy.Direct, policy.Clear},
		{"a@host.example", "b@old.example", "old.example", policy.Direct, policy.Opportunistic},
		{"a@host.example", "b@partner.example", "relay:partner.example:25", policy.Relay, 0},
		{"a@host.example", "b@sub.partner.example", "relay:partner.example:25", policy.Relay, 0},
		{"sales@host.example", "b@other.example", "relay:sales@sales.example:587,sales2.example:587", policy.Relay, 0},
		{"sales@host.example", "b@partner.example", "relay:partner.example:25,sales@sales.example:587,sales2.example:587", policy.Relay, 0},
		{"", "b@other.example", "relay:sales@sales.example:587", policy.Relay, 0},
		{"a@host.example", "b@[192.0.2.1]", "[192.0.2.1]", policy.Direct, policy.Opportunistic},
		{"a@host.example", "b@bücher.example", "xn--bcher-kva.example", policy.Direct, policy.Opportunistic},
	} {
		got := routes.Route(addr(tt.from), addr(tt.to))
		if got.Destination != tt.destination || got.Kind != tt.kind || got.TLS != tt.tls {
			t.Errorf("<%s> to <%s>: %q, kind %d, TLS %d; want %q, %d, %d", tt.from, tt.to, got.Destination, got.Kind, got.TLS, tt.destination, tt.kind, tt.tls)
		}
		if d := routes.Destination(addr(tt.from), addr(tt.to)); d != got.Destination {
			t.Errorf("<%s>: Destination says %q, Route %q", tt.to, d, got.Destination)
		}
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, address string
		want             bool
	}{
		{"*", "a@b.example", true}, {"*", "", true}, {"<>", "", true}, {"<>", "a@b.example", false},
		{"*@b.example", "a@B.example", true}, {"@b.example", "a@b.example", true}, {"*@b.example", "a@sub.b.example", false},
		{"*@.b.example", "a@sub.b.example", true}, {"a@b.example", "A@b.example", true}, {"a@b.example", "c@b.example", false},
		{"b.example", "a@b.example", false}, {"*@b.example", "", false},
	} {
		if got := policy.Match(tt.pattern, addr(tt.address)); got != tt.want {
			t.Errorf("Match(%q, %q) = %v", tt.pattern, tt.address, got)
		}
	}
}
