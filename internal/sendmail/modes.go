package sendmail

import (
	"fmt"
	"strings"

	"postrider/internal/sysexits"
)

// list shows the queue: the administrators' program knows how.
func (r *run) list() error {
	if len(r.opts.operands) > 0 {
		return failf(sysexits.Usage, "a queue listing takes no operands; %s", usage)
	}
	if r.opts.json {
		return r.become("mailq", "--json")
	}
	return r.become("mailq")
}

// newaliases has no database to build: the alias files are read as they are.
func (r *run) newaliases() error {
	if r.env.UID != 0 {
		return failf(sysexits.NoPerm, "only root may rebuild the aliases")
	}
	return nil
}

func (r *run) background() error {
	if r.env.UID != 0 {
		return failf(sysexits.NoPerm, "only root may start the daemon")
	}
	return r.start("daemon")
}

func (r *run) foreground() error {
	if r.env.UID != 0 {
		return failf(sysexits.NoPerm, "only root may start the daemon")
	}
	return r.become("daemon")
}

// queueFilter is postrider's option for a selecting form of -q; empty for others.
func queueFilter(form byte) string {
	switch form {
	case 'I':
		return "--id-contains"
	case 'R':
		return "--recipient-contains"
	case 'S':
		return "--sender-contains"
	}
	return ""
}

// flush has queued messages tried now: all, or those that a substring selects
// (-qI, -qR, -qS, with ! for all others). It is the daemon that tries, so -qf,
// which elsewhere tries in the foreground, asks for no more than -q. A queue
// interval (-q30m) is for a daemon that is told how often to try; ours knows.
func (r *run) flush() error {
	if len(r.opts.operands) > 0 {
		return failf(sysexits.Usage, "option -q takes its value attached and no operands; %s", usage)
	}
	v := *r.opts.queueRun
	if isInterval(v) {
		return nil
	}
	args := []string{"queue", "flush", "--quiet"}
	not := strings.HasPrefix(v, "!")
	v = strings.TrimPrefix(v, "!")
	switch {
	case (v == "" || v == "f") && !not:
		return r.become(args...)
	case len(v) < 2 || queueFilter(v[0]) == "":
		return failf(sysexits.Usage, "queue run -q%s is not offered; %s", *r.opts.queueRun, usage)
	}
	args = append(args, fmt.Sprintf("%s=%s", queueFilter(v[0]), v[1:]))
	if not {
		args = append(args, "--not")
	}
	return r.become(args...)
}

// isInterval tells a time span like 30m or 1h30m.
func isInterval(s string) bool {
	digits := false
	for i := range len(s) {
		switch {
		case s[i] >= '0' && s[i] <= '9':
			digits = true
		case !digits || !strings.ContainsRune("smhdw", rune(s[i])):
			return false
		}
	}
	return digits
}
