package smtp

import (
	"io"

	gosmtp "github.com/emersion/go-smtp"
)

// lockstep is the transactor for hosts that want one command at a time. MAIL and
// RCPT are said by go-smtp's client.
type lockstep struct {
	wire   *wire
	client *gosmtp.Client
}

func newLockstep(w *wire, hello string, o *offers) (*lockstep, error) {
	w.prime(o)
	l := &lockstep{wire: w, client: gosmtp.NewClient(w)}
	return l, l.client.Hello(hello)
}

func (l *lockstep) envelope(e *envelope, answered func(int, said) bool) (said, Phase, error) {
	l.wire.begin(PhaseMail)
	mail, err := l.wire.answer(l.client.Mail(e.path, &e.mail))
	if err != nil || mail.class() != 2 {
		return mail, PhaseMail, err
	}
	for i := range e.rcpts {
		l.wire.begin(PhaseRcpt)
		r, err := l.wire.answer(l.client.Rcpt(e.rcpts[i].path, e.rcpts[i].rcpt))
		if err != nil {
			return said{}, PhaseRcpt, err
		}
		if !answered(i, r) {
			break
		}
	}
	return said{code: mail.code}, PhaseMail, nil
}

// content does not use go-smtp, whose writer looks at each octet by itself.
func (l *lockstep) content(body io.Reader, beforeDot func()) (said, Phase, error) {
	r, err := l.wire.command(PhaseData, "DATA")
	if err != nil || r.class() != 3 {
		return r, PhaseData, err
	}
	return l.wire.content(body, beforeDot)
}

// forgo has nothing to do: DATA has not been said.
func (l *lockstep) forgo(int) {}
