package smtp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
)

// Phase of a session.
type Phase uint8

// The phases in the order they come.
const (
	PhaseDial Phase = iota + 1
	PhaseGreeting
	PhaseHello
	PhaseStartTLS
	PhaseHandshake
	PhaseAuth
	PhaseMail
	PhaseRcpt
	PhaseData
	PhaseBody
	PhaseFinal
)

var phaseNames = [...]string{
	PhaseDial: "connecting", PhaseGreeting: "greeting", PhaseHello: "EHLO",
	PhaseStartTLS: "STARTTLS", PhaseHandshake: "handshake", PhaseAuth: "AUTH",
	PhaseMail: "MAIL", PhaseRcpt: "RCPT", PhaseData: "DATA", PhaseBody: "message content",
	PhaseFinal: "end of message",
}

// String gives the phase's name as error texts print it.
func (p Phase) String() string {
	if p < PhaseDial || p > PhaseFinal {
		return "invalid phase"
	}
	return phaseNames[p]
}

// Error says in which phase a session failed and why: the peer's Reply, or Err
// where it gave none.
type Error struct {
	Phase Phase
	// Reply of the peer, or our own refusal in the form of one (Reply.Remote tells
	// them apart); nil if there was none.
	Reply *Reply
	Err   error
	// Host and address that failed, for the text.
	Host string
	// PermanentHost says that the host takes no mail at all (RFC 7504).
	PermanentHost bool
	// AuthFailure says that our login was refused or could not be tried: trouble of
	// our own, no reason to give a message up.
	AuthFailure bool
	// Loop says that the host gave our own name (RFC 5321 §6.3).
	Loop bool
	// Local says that the message could not be read here.
	Local bool
}

// Error implements error.
func (e *Error) Error() string {
	switch {
	case e.Reply != nil && e.Reply.Remote:
		return fmt.Sprintf("host %s said in reply to %s: %s", e.Host, e.Phase, e.Reply.oneLine())
	case e.Reply != nil:
		return fmt.Sprintf("host %s: %s", e.Host, e.Reply.oneLine())
	}
	if e.Phase == PhaseDial {
		return fmt.Sprintf("connect to %s: %v", e.Host, withoutAddress(e.Err))
	}
	return fmt.Sprintf("host %s, %s: %v", e.Host, e.Phase, e.Err)
}

// withoutAddress drops what net.Dialer puts before the reason: who was dialled is
// said already.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		err = op.Err
	}
	var call *os.SyscallError
	if errors.As(err, &call) {
		return call.Err
	}
	return err
}

// cause is the reason without host and phase.
func (e *Error) cause() string {
	if e.Reply != nil {
		return e.Reply.oneLine()
	}
	return handshakeReason(e.Err)
}

// Unwrap gives Err.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether a later attempt may succeed. A refusal before MAIL is
// temporary even if the reply is not, unless the host takes no mail at all: it
// concerns us or the host, not the message.
func (e *Error) Temporary() bool {
	if e.PermanentHost || e.Loop {
		return false
	}
	return e.Phase < PhaseMail || e.Reply == nil || e.Reply.Status == "" || e.Reply.Status[0] != '5'
}

// NextHost reports whether it is worth going to another host now for the
// recipients that are not done.
func (e *Error) NextHost() bool {
	switch {
	case e.Loop, e.Local, e.cancelled():
		return false
	case e.AuthFailure:
		return e.Reply != nil && e.Reply.Code/100 == 4
	case e.Reply == nil:
		// Lost after the dot: elsewhere it would be a second copy at once.
		return e.Phase != PhaseFinal
	case !e.Reply.Remote:
		return true
	}
	return e.Phase < PhaseMail || e.Reply.Code/100 != 5
}

// ConnectFailure reports whether the failure counts against the site: no session
// came about, or the host ended it with 421.
func (e *Error) ConnectFailure() bool {
	if e.Loop || e.Local || e.AuthFailure || e.cancelled() {
		return false
	}
	return e.Phase <= PhaseHandshake || e.closing()
}

// closing reports whether the host said 421 (RFC 5321 §3.8).
func (e *Error) closing() bool { return e.Reply != nil && e.Reply.Remote && e.Reply.Code == 421 }

func (e *Error) cancelled() bool { return errors.Is(e.Err, errGivenUp) }

// errGivenUp says that the caller's context ended.
var errGivenUp = errors.New("given up")

func givenUp(ctx context.Context) error {
	return fmt.Errorf("%w: %w", errGivenUp, context.Cause(ctx))
}
