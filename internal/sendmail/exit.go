package sendmail

import (
	"fmt"
	"strings"
)

// failure is an error that decides the exit status.
type failure struct {
	status int
	text   string
	cause  error // may be nil
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.cause }

func failf(status int, format string, args ...any) *failure {
	return &failure{status: status, text: fmt.Sprintf(format, args...)}
}

// because adds the cause, for who has to know more than the text.
func (f *failure) because(err error) *failure {
	f.cause = err
	return f
}

// oneLine makes text fit for one line on a terminal, whatever a caller or a
// server put in it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}
