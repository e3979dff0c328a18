package address_test

import (
	"testing"

	"postrider/internal/address"
)

func TestRewriteHeader(t *testing.T) {
	upper := func(a address.Address) address.Address {
		if a.Domain == "old.test" {
			a.Domain = "new.test"
		}
		return a
	}
	for _, tt := range []struct{ value, want string }{
		{" a@old.test\n", " a@new.test\n"},
		{` "A, B" <a@old.test> (x@old.test),` + "\n\t b@keep.test , us: c@OLD.test, <\"d e\"@old.test>;\n",
			` "A, B" <a@new.test> (x@old.test),` + "\n\t b@keep.test , us: c@OLD.test, <\"d e\"@new.test>;\n"},
		{" <@relay.test:a@old.test>\n", " <a@new.test>\n"},
		{" a@old.test (open, b@old.test\n", " a@old.test (open, b@old.test\n"},
		{" a\n", " a\n"},
		{"\n", "\n"},
	} {
		if got := address.RewriteHeader(tt.value, upper); got != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.value, got, tt.want)
		}
	}
}
