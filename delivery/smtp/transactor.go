package smtp

import (
	"io"

	gosmtp "github.com/emersion/go-smtp"
)

// transactor speaks one mail transaction. It hands replies on without judging them,
// and may say commands ahead of replies as long as it hands those on in order.
type transactor interface {
	// envelope says MAIL and, if that is granted, RCPT for each recipient until
	// answered returns false. It returns the reply to MAIL, or the error and the
	// phase that ended the dialogue.
	envelope(e *envelope, answered func(i int, r said) (more bool)) (said, Phase, error)
	// content says DATA and sends the body. It returns the reply that ended it and
	// which phase it belongs to: PhaseData if DATA was not granted, PhaseBody if
	// the host spoke before the end, PhaseFinal for the reply to the dot.
	content(body io.Reader, beforeDot func()) (said, Phase, error)
}

// envelope is what MAIL and RCPT say.
type envelope struct {
	path  string
	mail  gosmtp.MailOptions
	rcpts []forwardPath
}

// forwardPath is what one RCPT says.
type forwardPath struct {
	index int // in Transaction.Recipients
	path  string
	rcpt  *gosmtp.RcptOptions
}

// goSMTP is the transactor on go-smtp's client: one command, one round trip.
type goSMTP struct {
	wire   *wire
	client *gosmtp.Client
	buffer []byte
}

func newGoSMTP(w *wire, hello string, o offers) (*goSMTP, error) {
	w.prime(o)
	g := &goSMTP{wire: w, client: gosmtp.NewClient(w)}
	return g, g.client.Hello(hello)
}

func (g *goSMTP) envelope(e *envelope, answered func(int, said) bool) (said, Phase, error) {
	g.wire.begin(PhaseMail)
	mail, err := g.wire.answer(g.client.Mail(e.path, &e.mail))
	if err != nil || mail.class() != 2 {
		return mail, PhaseMail, err
	}
	for i := range e.rcpts {
		g.wire.begin(PhaseRcpt)
		r, err := g.wire.answer(g.client.Rcpt(e.rcpts[i].path, e.rcpts[i].rcpt))
		if err != nil {
			return said{}, PhaseRcpt, err
		}
		if !answered(i, r) {
			break
		}
	}
	return said{code: mail.code}, PhaseMail, nil
}

func (g *goSMTP) content(body io.Reader, beforeDot func()) (said, Phase, error) {
	g.wire.begin(PhaseData)
	data, err := g.client.Data()
	if r, err := g.wire.answer(err); err != nil || r.class() != 3 {
		return r, PhaseData, err
	}
	g.wire.begin(PhaseBody)
	if err := g.copy(data, body); err != nil {
		r, err := g.wire.answer(err)
		return r, PhaseBody, err
	}
	g.wire.begin(PhaseFinal)
	beforeDot()
	_, err = data.CloseWithResponse()
	r, err := g.wire.answer(err)
	if !g.wire.flushed {
		// The system did not take the dot, so the host cannot have it.
		return r, PhaseBody, err
	}
	return r, PhaseFinal, err
}

// copy writes the body through a buffer that is kept with the connection.
func (g *goSMTP) copy(data io.Writer, body io.Reader) error {
	if g.buffer == nil {
		g.buffer = make([]byte, blockSize)
	}
	_, err := io.CopyBuffer(data, body, g.buffer)
	return err
}
