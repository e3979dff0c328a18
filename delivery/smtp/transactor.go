package smtp

import (
	"io"

	gosmtp "github.com/emersion/go-smtp"
)

// transactor speaks one mail transaction. It hands replies on without judging them,
// and may say commands ahead of replies as long as it hands those on in order.
type transactor interface {
	// envelope says MAIL and, if that is granted, RCPT for each recipient until
	// answered returns false; the replies to what has been said by then are handed
	// on all the same, up to 421. It returns the reply to MAIL, or the error and
	// the phase that ended the dialogue.
	envelope(e *envelope, answered func(i int, r said) (more bool)) (said, Phase, error)
	// content says DATA and sends the body. It returns the reply that ended it and
	// which phase it belongs to: PhaseData if DATA was not granted, PhaseBody if
	// the host spoke before the end, PhaseFinal for the reply to the dot.
	content(body io.Reader, beforeDot func()) (said, Phase, error)
	// forgo is called after envelope instead of content where there is none to
	// send. It makes sure that the host waits for none, and delivers none, to the
	// recipients it has accepted.
	forgo(accepted int)
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
