package bounce

import (
	"net/mail"
	"strings"
	"testing"
)

// FuzzScanAutomatic compares with another parser wherever that one can read the
// header, for the fields that need only be there.
func FuzzScanAutomatic(f *testing.F) {
	for _, seed := range []string{"List-Id: x\n\n", "list-id : x\n\n", "A: b\n List-Id: c\n\n", "\nList-Id: x", "List-Id", ":\n\n", "A: b\nList-Id:\n\n", " \n \nList-Id: x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		got, err := scanAutomatic(strings.NewReader(header))
		if err != nil {
			t.Fatal(err)
		}
		m, err := mail.ReadMessage(strings.NewReader(header))
		if err != nil || strings.Contains(header, "\r") {
			return
		}
		has := make(map[string]bool)
		for name := range m.Header {
			has[strings.ToLower(strings.TrimRight(name, " \t"))] = true
		}
		if has["list-id"] && !got {
			t.Errorf("%q: not seen", header)
		}
		if got && !has["list-id"] && !has["precedence"] && !has["auto-submitted"] {
			t.Errorf("%q: seen where there is none", header)
		}
	})
}
