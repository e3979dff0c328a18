package logins

import (
	"strings"
	"testing"
)

// FuzzParse checks that what was read can be written and read again, and that no
// line is taken that a login could not have.
func FuzzParse(f *testing.F) {
	f.Add("user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n")
	f.Add("# comment\r\n\n \nalice:secret\n")
	f.Add("a:SCRAM-SHA-256$4096:$:\nb")
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parse([]byte(text))
		if err != nil {
			return
		}
		for _, l := range lines {
			if l.name == "" {
				if s := strings.TrimSpace(l.text); s != "" && !strings.HasPrefix(s, "#") {
					t.Fatalf("%q is taken for a comment", l.text)
				}
				continue
			}
			again, err := parseLine(format(l.name, l.credentials))
			if err != nil || again.name != l.name || format(again.name, again.credentials) != format(l.name, l.credentials) {
				t.Fatalf("%q became %+v, %v", l.text, again, err)
			}
			if CheckName(l.name) != nil || len(l.credentials.StoredKey) != keySize || l.credentials.Iters < minIterations {
				t.Fatalf("%q is taken", l.text)
			}
		}
	})
}
