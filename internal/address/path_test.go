package address_test

import (
	"testing"

	"postrider/internal/address"
)

func TestCutPath(t *testing.T) {
	for _, tt := range []struct{ in, path, rest string }{
		{"<a@b.test> SIZE=1", "<a@b.test>", " SIZE=1"},
		{"a@b.test SIZE=1", "a@b.test", " SIZE=1"},
		{"<>", "<>", ""},
		{"<\"a> b\"@c.test>\tX", `<"a> b"@c.test>`, "\tX"},
		{`<"a\" >"@c.test> X`, `<"a\" >"@c.test>`, " X"},
		{`<"open`, `<"open`, ""},
		{"", "", ""},
	} {
		if path, rest := address.CutPath(tt.in); path != tt.path || rest != tt.rest {
			t.Errorf("%q: got %q and %q, want %q and %q", tt.in, path, rest, tt.path, tt.rest)
		}
	}
}
