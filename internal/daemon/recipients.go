package daemon

import (
	"context"
	"strings"

	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/internal/config"
)

// statusUnknown is "bad destination mailbox address" (RFC 3463 §3.2).
const statusUnknown = "5.1.1"

// recipientCheck gives what knows the addresses of this host well enough to turn one
// away that is nobody's; nil where a mail store knows them and we do not. Include
// files are left alone: it is asked by strangers, and a user's would take a process.
func recipientCheck(cfg *config.Config, full *aliases.Expander) *aliases.Expander {
	if strings.HasPrefix(cfg.Local.Mailbox, "lmtp:") {
		return nil
	}
	e := *full
	e.Include = func(context.Context, string, string) (string, *aliases.Refusal) {
		return "", &aliases.Refusal{Temporary: true, Text: "include files are not read now"}
	}
	return &e
}

// unknown says why nobody here has a local address; empty if somebody has, or if
// that cannot be told now.
func (a *agent) unknown(to address.Address) (why string) {
	e := a.recipients.Load()
	if e == nil {
		return ""
	}
	out := e.Expand(context.Background(), to)
	if r := out.Refused; r != nil && !r.Temporary && r.Status == statusUnknown {
		return r.Text
	}
	return ""
}
