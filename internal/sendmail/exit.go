package sendmail

import (
	"fmt"
	"strings"
)

// Exit statuses (sysexits.h). Callers act on them: PHP and procmail take 75 for
// "will be retried", amavis makes SMTP replies of the others.
const (
	exitOK          = 0
	exitUsage       = 64 // wrong options, no recipients
	exitDataErr     = 65 // unusable address or message
	exitNoUser      = 67 // -bv: unknown user
	exitUnavailable = 69 // message too big; no daemon to talk to
	exitOSErr       = 71 // a program of ours cannot be run
	exitTempFail    = 75 // nothing was queued, a later try may succeed
	exitNoPerm      = 77 // not allowed
	exitConfig      = 78 // configuration unusable
)

// failure is an error that decides the exit status.
type failure struct {
	status int
	text   string
}

func (f *failure) Error() string { return f.text }

func failf(status int, format string, args ...any) *failure {
	return &failure{status, fmt.Sprintf(format, args...)}
}

// oneLine makes text fit for one line on a terminal, whatever a caller or a
// server put in it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
}
