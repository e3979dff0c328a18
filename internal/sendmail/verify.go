package sendmail

import (
	"fmt"
	"strings"

	"postrider/internal/address"
	"postrider/internal/sysexits"
	"postrider/policy"
)

// verify tells where each operand leads (-bv), in Sendmail's words, which scripts
// search for. It decides by what this host knows: nobody is asked.
func (r *run) verify() error {
	switch {
	case r.opts.fromHeader:
		return failf(sysexits.Usage, "options -bv and -t exclude each other; %s", usage)
	case len(r.opts.operands) == 0:
		return failf(sysexits.Usage, "option -bv needs addresses; %s", usage)
	}
	status := sysexits.OK
	for _, operand := range r.opts.operands {
		good, bad := address.ParseList(operand)
		for _, b := range bad {
			status = sysexits.NoUser
			fmt.Fprintf(r.env.Stdout, "%s... User address required: %v\n", oneLine(b.Text), b.Err)
		}
		for _, a := range good {
			verdict, ok := r.destination(a)
			if !ok {
				status = sysexits.NoUser
			}
			fmt.Fprintf(r.env.Stdout, "%s... %s\n", a, verdict)
		}
	}
	if status != sysexits.OK {
		return &failure{status: status}
	}
	return nil
}

func (r *run) destination(a address.Address) (verdict string, ok bool) {
	to := a.Qualify(r.cfg.Origin)
	route := r.cfg.Routes().Route(address.Address{}, to)
	switch route.Kind {
	case policy.Relay:
		return fmt.Sprintf("deliverable: mailer relay, host %s, user %s", route.Smarthosts[0].Address, to), true
	case policy.Direct:
		return fmt.Sprintf("deliverable: mailer esmtp, host %s, user %s", route.NextHop, to), true
	}
	if !r.isLocalUser(to.Local) {
		return "User unknown", false
	}
	return "deliverable: mailer local, user " + to.Local, true
}

// isLocalUser looks for the account of a local part, without its extension if need
// be. There is always a postmaster (RFC 5321 §4.5.1).
func (r *run) isLocalUser(local string) bool {
	base, _, _ := strings.Cut(local, "+")
	if strings.EqualFold(base, "postmaster") || strings.EqualFold(base, "mailer-daemon") {
		return true
	}
	_, ok := findAccount(r.env.Passwd, func(a account) bool {
		return a.login == local || strings.EqualFold(a.login, base)
	})
	return ok
}
