package policy_test

import (
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/policy"
)

func TestMasquerade(t *testing.T) {
	list := []policy.Masquerade{
		{Match: "root@web.example.com", To: "web-admin@example.com"},
		{Match: "cron@.lan.example", To: "cron@example.com"},
		{Match: "*@web.example.com", To: "*@example.com"},
		{Match: "*@.lan.example", To: "*@lan.example"},
		{Match: "*@example.com", To: "*@never-again.example"},
		{Match: "*@BÜCHER.example", To: "*@Bücher.example.com"},
		{Match: `"a b"@host.example`, To: `"c d"@example.com`},
		{Match: "*@[192.0.2.1]", To: "*@[IPv6:2001:db8::1]"},
	}
	m, err := policy.NewMasquerades(list)
	if err != nil {
		t.Fatal(err)
	}
	all, err := policy.NewMasquerades([]policy.Masquerade{{Match: "*", To: "*@example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		m          *policy.Masquerades
		from, want string // want is empty where nothing changes
	}{
		{m, "root@web.example.com", "web-admin@example.com"},
		{m, "Root@WEB.example.com", "web-admin@example.com"},
		{m, "alice@web.example.com", "alice@example.com"},
		{m, "alice@www.web.example.com", ""},
		{m, "cron@a.lan.example", "cron@example.com"},
		{m, "alice@a.b.LAN.example", "alice@lan.example"},
		{m, "alice@lan.example", ""},
		{m, "alice@xlan.example", ""},
		{m, "alice@example.com", "alice@never-again.example"},
		{m, "a@bücher.example", "a@xn--bcher-kva.example.com"},
		{m, "a@xn--bcher-kva.example", "a@xn--bcher-kva.example.com"},
		{m, `"a b"@host.example`, `"c d"@example.com`},
		{m, "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]"},
		{m, "alice@elsewhere.example", ""},
		{m, "alice", ""},
		{all, "alice", "alice@example.com"},
		{all, "jörg@b.example", "jörg@example.com"},
		{all, `"a b"@b.example`, `"a b"@example.com`},
		{all, "alice@example.com", ""},
		{nil, "alice@example.com", ""},
	} {
		from, err := address.Parse(tt.from)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := tt.m.Rewrite(from)
		if ok != (tt.want != "") || ok && got.String() != tt.want || !ok && got != from {
			t.Errorf("%s becomes %s, %v; want %q", tt.from, got, ok, tt.want)
		}
	}
	if got, ok := all.Rewrite(address.Address{}); ok || !got.IsNull() {
		t.Errorf("the null address becomes %v", got)
	}
}

func TestMasqueradeMistakes(t *testing.T) {
	for _, entry := range []policy.Masquerade{
		{"", "*@x.example"}, {"example.com", "*@x.example"}, {"@example.com", "*@x.example"}, {"*@", "*@x.example"},
		{"*@.", "*@x.example"}, {"*@a b", "*@x.example"}, {"*@*.example.com", "*@x.example"}, {"a b@c.example", "*@x.example"},
		{"<a@b.example>", "*@x.example"}, {"<>", "*@x.example"}, {"a*@b.example", "*@x.example"}, {"a@b.example\n", "*@x.example"},
		{"*", ""}, {"*", "*"}, {"*", "user"}, {"*", "@x.example"}, {"*", "*@.x.example"}, {"*", "jörg@x.example"}, {"*", "A <a@x.example>"},
		{"*", "a@b@x.example"}, {"*", "a*@x.example"}, {"*", "a@x.example, b@x.example"}, {"*", "<>"},
	} {
		_, err := policy.NewMasquerades([]policy.Masquerade{{"*@good.example", "*@x.example"}, entry})
		if err == nil {
			t.Errorf("%+v is accepted", entry)
			continue
		}
		text := err.Error()
		if strings.Contains(text, "\n") || strings.Contains(text, "good.example") || entry.Match == "*" && !strings.Contains(text, "to is neither") || entry.To == "*@x.example" && !strings.Contains(text, "match is none of") {
			t.Errorf("%+v: error %q", entry, text)
		}
	}
}
