package sendmail

import (
	"postrider/internal/aliases"
	"postrider/internal/sysexits"
)

// list shows the queue: the administrators' program knows how.
func (r *run) list() error {
	if r.opts.json {
		return r.become("mailq", "--json")
	}
	return r.become("mailq")
}

// newaliases tells what is wrong in the alias files. There is no database to
// build from them: the daemon reads them as they are, and again when they change.
func (r *run) newaliases() error {
	problems, err := aliases.Check(r.cfg.Local.Aliases)
	for _, p := range problems {
		r.complain(p.String())
	}
	if err != nil {
		return failf(sysexits.Config, "%v", err)
	}
	return nil
}

// forRoot refuses the modes that are root's.
func (r *run) forRoot() error {
	if r.env.UID == 0 {
		return nil
	}
	switch r.opts.mode {
	case modeAliases:
		return failf(sysexits.NoPerm, "only root may rebuild the aliases")
	case modeDaemon, modeForeground:
		return failf(sysexits.NoPerm, "only root may start the daemon")
	}
	return nil
}
