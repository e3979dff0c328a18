package address_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
)

func TestParse(t *testing.T) {
	long := strings.Repeat("l", 63)
	for _, tc := range []struct{ in, local, domain string }{
		{"b@x.example", "b", "x.example"},
		{"<b@x.example>", "b", "x.example"},
		{"Bob <b@x.example>", "b", "x.example"},
		{"Bob B <b@x.example>", "b", "x.example"},
		{"b@x.example (Bob)", "b", "x.example"},
		{"(pre) b@x.example (Al (nested) Pha)", "b", "x.example"},
		{`"Doe, Jane" <j@x.example>`, "j", "x.example"},
		{`"J. \"Q\" <z>" <j@x.example>`, "j", "x.example"},
		{"joe@home <j@x.example>", "j", "x.example"},
		{"[ML] Bob <b@x.example>", "b", "x.example"},
		{"=?utf-8?B?YUBleGFtcGxlLmNvbQ==?= <k@x.example>", "k", "x.example"},
		{`"a b"@x.example`, "a b", "x.example"},
		{`"a\"b"@x.example`, `a"b`, "x.example"},
		{`"a@b"@x.example`, "a@b", "x.example"},
		{"a@b@x.example", "a@b", "x.example"},
		{"a@x.example.", "a", "x.example"},
		{"<@r1.example,@r2.example:a@x.example>", "a", "x.example"},
		{"<@r1.example, @r2.example : a@x.example>", "a", "x.example"},
		{"a @ x.example", "a", "x.example"},
		{"b@[192.0.2.1]", "b", "[192.0.2.1]"},
		{"c@[IPv6:2001:db8::1]", "c", "[IPv6:2001:db8::1]"},
		{".a@x.example", ".a", "x.example"},
		{"a..b@x.example", "a..b", "x.example"},
		{"a.@x.example", "a.", "x.example"},
		{"a+tag=x@x.example", "a+tag=x", "x.example"},
		{"o'brien@x.example", "o'brien", "x.example"},
		{"a%b@x.example", "a%b", "x.example"},
		{"host!user", "host!user", ""},
		{"alice", "alice", ""},
		{"Alice <alice>", "alice", ""},
		{"root (Cron Daemon)", "root", ""},
		{`"(Cron Daemon)" <alice>`, "alice", ""},
		{"|/bin/cat", "|/bin/cat", ""},
		{"/tmp/owned", "/tmp/owned", ""},
		{":include:/etc/passwd", ":include:/etc/passwd", ""},
		{`\alice`, "alice", ""},
		{"-dash@x.example", "-dash", "x.example"},
		{"jörg@x.example", "jörg", "x.example"},
		{"a@exämple.example", "a", "exämple.example"},
		{"a@host", "a", "host"},
		{"a@under_score.example", "a", "under_score.example"},
		{"a@" + long + ".example", "a", long + ".example"},
		{"J\xf6rg <b@x.example>", "b", "x.example"},
		{"mailto:b@x.example", "b", "x.example"},
	} {
		a, err := address.Parse(tc.in)
		if err != nil || a.Local != tc.local || a.Domain != tc.domain {
			t.Errorf("Parse(%q) = %+v, %v; want %q %q", tc.in, a, err, tc.local, tc.domain)
		}
		again, err := address.Parse(a.String())
		if err != nil || again != a {
			t.Errorf("Parse(%q).String() = %q, which reads as %+v, %v", tc.in, a.String(), again, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	label := strings.Repeat("l", 64)
	name := strings.Repeat("abcdefg.", 32) + "example"
	for _, tc := range []struct {
		in   string
		want error
	}{
		{"", address.ErrEmpty}, {" ", address.ErrEmpty}, {"<>", address.ErrEmpty}, {"g:;", address.ErrEmpty},
		{"a@x\nb", address.ErrControl}, {"a\x00@x", address.ErrControl}, {"a@x\r", address.ErrControl},
		{"\"a\x01b\"@x", address.ErrControl}, {"a\u0085b@x", address.ErrControl},
		{"a\x7f@x", address.ErrControl},
		{"j\xf6rg@x", address.ErrUTF8}, {"a@\xff.x", address.ErrUTF8},
		{"a@x, b@x", address.ErrSeveral}, {"a@x b@x", address.ErrSeveral},
		{"a@", address.ErrDomain}, {"a@.", address.ErrDomain}, {"a@x..y", address.ErrDomain}, {"a@.x", address.ErrDomain},
		{"a@x y@", address.ErrSeveral},
		{"a@-x", address.ErrDomain}, {"a@x-", address.ErrDomain}, {"a@x!y", address.ErrDomain}, {"a@x/y", address.ErrDomain},
		{"a@" + label, address.ErrDomain}, {"a@" + name, address.ErrDomain},
		{"a@[192.0.2]", address.ErrDomain}, {"a@[192.0.2.1", address.ErrDomain}, {"a@[2001:db8::1]", address.ErrDomain},
		{"a@[IPv6:192.0.2.1]", address.ErrDomain}, {"a@[IPv6:fe80::1%eth0]", address.ErrDomain}, {"a@[192.0.2.1]x", address.ErrDomain},
		{`a@"x"`, address.ErrDomain}, {`a@x\y`, address.ErrDomain},
		{"@x", address.ErrSyntax}, {"<@x>", address.ErrSyntax}, {`""@x`, address.ErrSyntax},
		{`"a@x`, address.ErrSyntax}, {"<a@x", address.ErrSyntax}, {"a@x>", address.ErrSyntax}, {"a@x (b@y", address.ErrSyntax},
		{"<a b@x>", address.ErrSyntax}, {"<a@<b@x>>", address.ErrSyntax}, {"a)@x", address.ErrSyntax},
		{strings.Repeat("l", 513) + "@x", address.ErrSyntax},
	} {
		if a, err := address.Parse(tc.in); !errors.Is(err, tc.want) {
			t.Errorf("Parse(%q) = %+v, %v; want error %v", tc.in, a, err, tc.want)
		}
	}
}

func texts(list []address.Address) string {
	var s []string
	for _, a := range list {
		s = append(s, a.String())
	}
	return strings.Join(s, "|")
}

func TestParseList(t *testing.T) {
	for _, tc := range []struct {
		in, good string
		bad      int
	}{
		{"a@x, b@y", "a@x|b@y", 0},
		{"a@x,b@y", "a@x|b@y", 0},
		{"a@x; b@y", "a@x|b@y", 0},
		{"a@x b@y", "a@x|b@y", 0},
		{"<a@x>, <b@y>", "a@x|b@y", 0},
		{"<a@x> <b@y>", "a@x|b@y", 0},
		{"<a@x> b@y", "a@x|b@y", 0},
		{"<a@x> Bob <b@y>", "a@x|b@y", 0},
		{"a@x, ,, b@y,", "a@x|b@y", 0},
		{",a@x", "a@x", 0},
		{"Team: a@x, B <b@y>; , c@z", "a@x|b@y|c@z", 0},
		{"Team : a@x, b@y", "a@x|b@y", 0},
		{`"My Team": a@x;`, "a@x", 0},
		{"undisclosed-recipients: ;", "", 0},
		{"undisclosed-recipients:;, a@x", "a@x", 0},
		{"a@x (one, two), b@y", "a@x|b@y", 0},
		{`"Doe, Jane" <j@x>, k@x`, "j@x|k@x", 0},
		{"a@x, <@r1,@r2:b@y>, c@z", "a@x|b@y|c@z", 0},
		{"a, b , alice", "a|b|alice", 0},
		{"alice bob", "alice|bob", 0},
		{"<>, a@x", "a@x", 0},
		{"", "", 0},
		{"a@x, <b@y, c@z", "a@x|c@z", 1},
		{"a@x, b@y>, c@z", "a@x|c@z", 1},
		{"a@x, @, c@z", "a@x|c@z", 1},
		{`a@x, "b@y, c@z`, "a@x", 1},
		{"a@x, (b@y, c@z", "a@x", 1},
		{"bob@x:25, c@z", "c@z", 1},
		{"<a@x> the boss", "a@x|the|boss", 0},
		{"Al <a@x> bob", "a@x|bob", 0},
		{"joe . bob", "joe.bob", 0},
		{"joe .bob@x, a. b@y", "joe.bob@x|a.b@y", 0},
		{"a@x . example b@y", "a@x.example|b@y", 0},
		{"a@x. b@y", "a@x|b@y", 0},
		{"c@x(d).example, <e . f@x .y>", "c@x.example|e.f@x.y", 0},
		{"\"a b\" . c@x", "\"a b.c\"@x", 0},
		{"a@x . y z . @w", "a@x.y|\"z.\"@w", 0},
		{"a@x (c", "a@x", 0},
		{"a@x, b@y (one, two", "a@x|b@y", 0},
		{"\"a\tb\"@x", "\"a b\"@x", 0},
		{"a@x..y, c@z", "c@z", 1},
		{"a@x\nb@y", "", 1},
		{"a@x, b\x00@y", "", 1},
	} {
		good, bad := address.ParseList(tc.in)
		if texts(good) != tc.good || len(bad) != tc.bad {
			t.Errorf("ParseList(%q) = %s, %v; want %s and %d bad", tc.in, texts(good), bad, tc.good, tc.bad)
		}
		for _, b := range bad {
			if strings.ContainsAny(b.Text+b.Err.Error(), "\n\x00") {
				t.Errorf("ParseList(%q): report %q %q is not printable", tc.in, b.Text, b.Err)
			}
		}
	}
}

func TestParseHeaderFoldsAndKeepsGood(t *testing.T) {
	good, bad := address.ParseHeader("a@x,\n\tb@y,\r\n c\x01@z, \"d\n e\" <d@x>, f@\n y")
	if texts(good) != "a@x|b@y|d@x|f@y" || len(bad) != 1 || !errors.Is(bad[0].Err, address.ErrControl) {
		t.Errorf("got %s and %v", texts(good), bad)
	}
}

func TestCompleteHeader(t *testing.T) {
	for in, want := range map[string]string{
		"alice":                              "alice@o.example",
		" a, b@x , \"C c\" <c>":              " a@o.example, b@x , \"C c\" <c@o.example>",
		"root (Cron Daemon)":                 "root@o.example (Cron Daemon)",
		"Fail2Ban <fail2ban>":                "Fail2Ban <fail2ban@o.example>",
		"Joe < joe > (x)":                    "Joe < joe@o.example > (x)",
		"g: a,\n\tb@x; , c":                  "g: a@o.example,\n\tb@x; , c@o.example",
		"a@x,\n (alice)\n bob (b, c)":        "a@x,\n (alice)\n bob@o.example (b, c)",
		"\"a b\"":                            "\"a b\"@o.example",
		"undisclosed-recipients: ;":          "undisclosed-recipients: ;",
		"<>":                                 "<>",
		"joe . bob, a":                       "joe . bob@o.example, a@o.example",
		"a@x . y (d), c":                     "a@x . y (d), c@o.example",
		"<a> b":                              "<a@o.example>, b@o.example",
		"Joe User":                           "Joe@o.example, User@o.example",
		"a (b)\n c@x d@y":                    "a@o.example (b),\n c@x d@y",
		"a@x b@y, c@z":                       "a@x b@y, c@z",
		"A <a@x> B <b>":                      "A <a@x> B <b@o.example>",
		"a (b":                               "a@o.example (b",
		"\"a, b":                             "\"a, b",
		"<a, b":                              "<a, b@o.example",
		"J\xf6rg <j>, =?utf-8?Q?a=2Cb?= <k>": "J\xf6rg <j@o.example>, =?utf-8?Q?a=2Cb?= <k@o.example>",
		"":                                   "",
	} {
		got := address.CompleteHeader(in, "o.example")
		if got != want {
			t.Errorf("CompleteHeader(%q) = %q; want %q", in, got, want)
		}
		if again := address.CompleteHeader(got, "o.example"); again != got {
			t.Errorf("CompleteHeader is not idempotent: %q then %q", got, again)
		}
	}
}

func TestParsePath(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "a@x": "a@x", "postmaster": "postmaster", "@r1,@r2:a@x": "a@x", `"a b"@x`: `"a b"@x`,
		"a@x.": "a@x", ".a@x": `".a"@x`, "a@[192.0.2.1]": "a@[192.0.2.1]", "jörg@x": "jörg@x",
	} {
		if a, err := address.ParsePath(in); err != nil || a.String() != want {
			t.Errorf("ParsePath(%q) = %v, %v; want %q", in, a, err, want)
		}
	}
	for _, in := range []string{" ", "a@x ", "a b@x", "a@b@x", "a(c)@x", "<a@x>", "a@x,b@y", "a@x\r\nRCPT TO:<b@y>", "a@x\x00", `"a@x`, "@x", "a;b@x"} {
		if a, err := address.ParsePath(in); err == nil {
			t.Errorf("ParsePath(%q) = %v; want an error", in, a)
		}
	}
}

func TestParseReversePath(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		warns    bool
	}{
		{"", "", false}, {"<>", "", false}, {" ", "", false},
		{"a@b", "a@b", false}, {"<a@b>", "a@b", false}, {"Name <a@b>", "a@b", false}, {"a@b (c)", "a@b", false},
		{`"a b"@c`, `"a b"@c`, false}, {"alice", "alice", false},
		{"a@b c@d", "a@b", true}, {"a@b, c@d", "a@b", true}, {"<a@b> x", "a@b", true},
		{"a@x.example\nX-Inj: 1", "a@x.example", true},
		{"a@x.example\r\n", "a@x.example", false}, {"\n a@x.example \n\n", "a@x.example", false}, {"\n", "", false},
		{"a . b@x.example", "a.b@x.example", false},
	} {
		a, warning, err := address.ParseReversePath(tc.in)
		if err != nil || a.String() != tc.want || (warning != "") != tc.warns {
			t.Errorf("ParseReversePath(%q) = %q, %q, %v; want %q, warning %v", tc.in, a, warning, err, tc.want, tc.warns)
		}
	}
	for _, in := range []string{"a@", "<a@b", "a@b..c", "\xff@b"} {
		if a, _, err := address.ParseReversePath(in); err == nil {
			t.Errorf("ParseReversePath(%q) = %v; want an error", in, a)
		}
	}
}

func TestFromUnquoted(t *testing.T) {
	a, err := address.FromUnquoted("a b", "x.example.")
	if err != nil || a.String() != `"a b"@x.example` {
		t.Errorf("got %v, %v", a, err)
	}
	if a, err := address.FromUnquoted("postmaster", ""); err != nil || a.Domain != "" {
		t.Errorf("got %v, %v", a, err)
	}
	for _, bad := range [][2]string{{"", "x"}, {"a\nb", "x"}, {"a", "x y"}, {"a", "[1]"}, {"\xff", "x"}} {
		if a, err := address.FromUnquoted(bad[0], bad[1]); err == nil {
			t.Errorf("FromUnquoted(%q) = %v; want an error", bad, a)
		}
	}
}

func TestQualifyKeepsNull(t *testing.T) {
	if a := (address.Address{}).Qualify("o"); !a.IsNull() {
		t.Errorf("null became %v", a)
	}
	if a := (address.Address{Local: "a"}).Qualify("o"); a.String() != "a@o" {
		t.Errorf("got %v", a)
	}
	if a := (address.Address{Local: "a", Domain: "x"}).Qualify("o"); a.String() != "a@x" {
		t.Errorf("got %v", a)
	}
}

func TestASCII(t *testing.T) {
	for in, want := range map[string]string{
		"example.com":       "example.com",
		"Exa.COM":           "Exa.COM",
		"[192.0.2.1]":       "[192.0.2.1]",
		"bücher.example":    "xn--bcher-kva.example",
		"BÜCHER.example":    "xn--bcher-kva.example",
		"bu\u0308cher.de":   "xn--bcher-kva.de",
		"a\u200b.de":        "a.de",
		"münchen.de":        "xn--mnchen-3ya.de",
		"例え.テスト":            "xn--r8jz45g.xn--zckzah",
		"例え。テスト":            "xn--r8jz45g.xn--zckzah",
		"пример.испытание":  "xn--e1afmkfd.xn--80akhbyknj4f",
		"παράδειγμα.δοκιμή": "xn--hxajbheg2az3al.xn--jxalpdlp",
		"उदाहरण.परीक्षा": "xn--p1b6ci4b4b3a.xn--11b5bs3a9aj6g",
		"faß.de":      "xn--fa-hia.de",
		"ｅｘａｍｐｌｅ.com": "example.com",
	} {
		a, err := address.Address{Local: "a", Domain: in}.ASCII()
		if err != nil || a.Domain != want {
			t.Errorf("ASCII(%q) = %q, %v; want %q", in, a.Domain, err, want)
		}
	}
	for _, in := range []string{"ä" + strings.Repeat("b", 62) + ".de", "ä\u00a0b.de", "ä..de", "\u200dä.de"} {
		if a, err := (address.Address{Local: "a", Domain: in}).ASCII(); !errors.Is(err, address.ErrDomain) {
			t.Errorf("ASCII(%q) = %q, %v; want ErrDomain", in, a.Domain, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, same := range [][2]string{
		{"a@X.Example", "a@x.example"}, {"a@BÜCHER.example", "a@xn--bcher-kva.EXAMPLE"},
		{"a@[IPv6:2001:DB8:0::1]", "a@[ipv6:2001:db8::1]"}, {`"a"@x`, "a@x"},
	} {
		a, err := address.Parse(same[0])
		b, err2 := address.Parse(same[1])
		if err != nil || err2 != nil || a.Key() != b.Key() {
			t.Errorf("%q and %q: keys %q and %q, %v %v", same[0], same[1], a.Key(), b.Key(), err, err2)
		}
	}
	if (address.Address{Local: "a", Domain: "x"}).Key() == (address.Address{Local: "A", Domain: "x"}).Key() {
		t.Error("local parts must compare exactly")
	}
	a := address.Address{Local: "jörg", Domain: "x"}
	if a.IsASCII() || a.LocalIsASCII() || !(address.Address{Local: "j", Domain: "ä"}).LocalIsASCII() {
		t.Error("ASCII reported wrongly")
	}
}

func TestUnique(t *testing.T) {
	one, _ := address.ParseList("a@X, b@x")
	two, _ := address.ParseList("b@X, c@x, a@x")
	if got := texts(address.Unique(one, two)); got != "a@X|b@x|c@x" {
		t.Errorf("got %s", got)
	}
}

// Hostile input must cost no more than its length.
func TestListIsLinear(t *testing.T) {
	const n = 1 << 17
	for _, s := range []string{
		strings.Repeat("<", n), strings.Repeat("(", n), strings.Repeat("a@x:", n/4), "<@" + strings.Repeat("()", n/4) + strings.Repeat(",", n/2),
		"<" + strings.Repeat("()", n/4) + strings.Repeat(",", n/2), strings.Repeat("@ ", n/2), strings.Repeat(`"\"`, n/3), strings.Repeat("<a@x> ", n/6), strings.Repeat("a@[", n/3),
	} {
		start := time.Now()
		address.ParseHeader(s)
		address.CompleteHeader(s, "o.example")
		// A quadratic step would take 10^10 operations and more.
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%.20q...: %v", s, took)
		}
	}
}
