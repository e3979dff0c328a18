package schedule

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzBefore checks that nothing sorts between before(name) and the name.
func FuzzBefore(f *testing.F) {
	for _, s := range []string{"a", "example.com", "example.col", "exämple.com", "x\x00", "a\x00b", "local"} {
		f.Add(s, s+"x")
		f.Add(s, "example.coland")
	}
	f.Fuzz(func(t *testing.T, name, other string) {
		if name == "" || !utf8.ValidString(name) || !utf8.ValidString(other) {
			return
		}
		b := before(name)
		if b >= name {
			t.Fatalf("before(%q) = %q", name, b)
		}
		if other != name && strings.Compare(other, b) > 0 && other < name {
			t.Errorf("%q sorts between %q and %q", other, b, name)
		}
	})
}
