package sendmail

import (
	"fmt"
	"strings"

	"postrider/internal/sysexits"
)

// reply is an SMTP reply that refuses something.
type reply struct {
	code int
	text string
}

func (r *reply) Error() string {
	return fmt.Sprintf("%d %s", r.code, strings.ReplaceAll(r.text, "\n", " "))
}

func (r *reply) permanent() bool { return r.code/100 == 5 }

// status translates the reply into an exit status, by the enhanced code (RFC 3463)
// where there is one.
func (r *reply) status() int {
	enhanced, _, _ := strings.Cut(r.text, " ")
	switch {
	case !r.permanent():
		return sysexits.TempFail
	case r.code == 552, enhanced == "5.3.4", enhanced == "5.2.3":
		return sysexits.Unavailable
	case strings.HasPrefix(enhanced, "5.7."), r.code == 530, r.code == 535:
		return sysexits.NoPerm
	}
	return sysexits.DataErr
}
