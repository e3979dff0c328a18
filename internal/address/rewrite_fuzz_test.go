package address_test

import (
	"slices"
	"testing"

	"postrider/internal/address"
)

// FuzzRewriteHeader: what is rewritten reads as the addresses wanted, and nothing
// changes where none is.
func FuzzRewriteHeader(f *testing.F) {
	for _, s := range []string{
		" A <a@b.c>\n", ` "x@y, z" <a@b.c> (q@r), g: d, "e f"@b.c;` + "\n", "a (c) @ (d) b.c (e)", "<@r,@s:a@b.c>, a@b.c d@e",
		":a b: c@d", "a@b.c, <broken", `"a"b@c`, "a@[192.0.2.1]\n b@c", "=?utf-8?q?=40?= <j\xc3\xb6rg@b.c>", "\xff <a@b>", `a\@b@c`, "a@b@c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		same := func(a address.Address) address.Address { return a }
		if got := address.RewriteHeader(s, same); got != s {
			t.Fatalf("%q becomes %q", s, got)
		}
		good, bad := address.ParseHeader(s)
		for _, rewrite := range []func(address.Address) address.Address{
			func(address.Address) address.Address { return address.Address{Local: "new", Domain: "example.org"} },
			func(a address.Address) address.Address { return address.Address{Local: a.Local, Domain: "example.org"} },
			func(a address.Address) address.Address { return address.Address{Local: "n w", Domain: a.Domain} },
		} {
			got := address.RewriteHeader(s, rewrite)
			want := make([]address.Address, len(good))
			for i, a := range good {
				want[i] = rewrite(a)
			}
			after, badAfter := address.ParseHeader(got)
			switch {
			case len(bad) > 0 && got != s:
				t.Fatalf("%q with %v becomes %q", s, bad, got)
			case len(bad) > 0:
			case len(badAfter) > 0 || !slices.Equal(after, want) && (got != s || len(good) < 2):
				t.Fatalf("%q becomes %q, which reads as %v, %v; want %v", s, got, after, badAfter, want)
			}
		}
	})
}
