package sendmail

import "fmt"

// tell says on standard output what is done, to who asked for it with -v. In a
// dialogue standard output is the caller's.
func (r *run) tell(format string, args ...any) {
	if r.opts.verbose && r.opts.mode != modeSMTP {
		fmt.Fprintln(r.env.Stdout, oneLine(fmt.Sprintf(format, args...)))
	}
}

// tellEnvelope says what is about to be handed in.
func (r *run) tellEnvelope(p *parcel) {
	r.tell("from <%s>, %d bytes", p.envelope.ReversePath, p.message.size)
	for _, to := range p.recipients {
		r.tell("to <%s>", to.Address)
	}
}

// note notes that a message was accepted by a way, and how that said so.
func (r *run) note(way, said string) {
	r.accepted = said
	r.tell("%s: %s", way, said)
}
