package sendmail_test

import (
	"strings"
	"testing"
)

// TestDotsAndLineEnds holds that a message arrives as it was handed in, wherever
// the pieces it is sent in begin and end.
func TestDotsAndLineEnds(t *testing.T) {
	const fill = 32 << 10 // the size of a piece
	head := "From: a@x.example\nDate: Mon, 01 Jan 2024 00:00:00 +0000\nMessage-ID: <1@x.example>\n\n"
	for name, body := range map[string]string{
		"dots":              ".\n..\n.x\nx.\n\n.\n",
		"commands":          "QUIT\n.\nMAIL FROM:<>\n",
		"no last line end":  "x\n.",
		"bare CR":           "a\rb\n\rc\n",
		"empty":             "",
		"dot begins piece":  strings.Repeat("x", fill-len(head)-1) + "\n.\n.y\n",
		"line end at start": strings.Repeat("x", fill-len(head)) + "\n.\n",
		"long line":         strings.Repeat("x", 3*fill) + "\n",
		"many dots":         strings.Repeat(".\n", 3*fill),
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			s := h.serve(&server{})
			h.send(head+body, "-i", "bob@example.net").want(t, 0, "")
			want := head + body
			if body != "" && !strings.HasSuffix(body, "\n") {
				want += "\n"
			}
			if got := s.mails(); len(got) != 1 || got[0].data != want {
				t.Errorf("%d messages, or another text", len(got))
			}
		})
	}
}
