package address_test

import (
	"slices"
	"strings"
	"testing"

	"postrider/internal/address"
)

func FuzzParse(f *testing.F) {
	for _, s := range []string{"a@x", "Bob <b@x>", `"a b"@x`, "<@r:a@x>", "a@[IPv6:::1]", "jörg@ä.de", "a@b@x", `\|x`, ":include:/x", "a\nb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := address.Parse(s)
		if p, perr := address.ParsePath(s); perr == nil && !p.IsNull() {
			check(t, p)
		}
		if r, _, rerr := address.ParseReversePath(s); rerr == nil && !r.IsNull() {
			check(t, r)
		}
		if err == nil {
			check(t, a)
		}
	})
}

// check holds for every address that was accepted.
func check(t *testing.T, a address.Address) {
	t.Helper()
	text := a.String()
	if strings.ContainsAny(text, "\x00\r\n\t") {
		t.Fatalf("%q has control characters", text)
	}
	if again, err := address.ParsePath(text); err != nil || again != a {
		t.Fatalf("%+v writes %q, which reads as %+v, %v", a, text, again, err)
	}
	if b, err := a.ASCII(); err == nil {
		c, err := b.ASCII()
		if err != nil || c != b || c.DomainKey() != a.DomainKey() {
			t.Fatalf("%q: ASCII %q, again %q, %v; keys %q %q", text, b, c, err, a.DomainKey(), c.DomainKey())
		}
	}
}

func FuzzParseList(f *testing.F) {
	for _, s := range []string{"a@x, b@y", "g: a, b;", "a (c, d), <e", "\"x, y\" <z>", "a@x b@y;;", "<@r,@s:a@x>, b", "a\n b", "a . b (c) <d> e", "a@x. b (c", "\"a\tb\" .c@x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		good, _ := address.ParseHeader(s)
		for _, a := range good {
			check(t, a)
		}
		done := address.CompleteHeader(s, "o.example")
		if again := address.CompleteHeader(done, "o.example"); again != done {
			t.Fatalf("%q completed to %q, then to %q", s, done, again)
		}
		added := strings.NewReplacer("@o.example", "", ",", "")
		if added.Replace(done) != added.Replace(s) || strings.Count(done, ",") < strings.Count(s, ",") {
			t.Fatalf("%q completed to %q: other text changed", s, done)
		}
		after, _ := address.ParseHeader(done)
		if !slices.EqualFunc(good, after, func(a, b address.Address) bool { return a.Qualify("o.example") == b }) {
			t.Fatalf("%q gave %v, completed %q gave %v", s, good, done, after)
		}
	})
}

func BenchmarkParseList(b *testing.B) {
	s := strings.Repeat("Some One <some.one@host.example.org>,\n ", 10000)
	b.SetBytes(int64(len(s)))
	for b.Loop() {
		if good, _ := address.ParseHeader(s); len(good) != 10000 {
			b.Fatal(len(good))
		}
	}
}
