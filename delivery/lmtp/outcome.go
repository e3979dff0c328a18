package lmtp

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"postrider/queue"
)

func failed(status, text string) *Outcome {
	return &Outcome{Result: queue.Failed, Status: status, Text: oneLine(text)}
}

func temporary(status, text string) *Outcome {
	return &Outcome{Result: queue.Temporary, Status: status, Text: oneLine(text)}
}

// verdict judges a reply that concerns recipients, to what was said.
func verdict(r reply, to string) *Outcome {
	o := &Outcome{Code: r.code, Status: r.status(), Text: oneLine("the mail store said in reply to " + to + ": " + r.String())}
	switch {
	case r.class() == 2:
		o.Result = queue.Delivered
	case r.class() == 4:
		o.Result = queue.Temporary
	case r.class() == 5 && !isOurFault(r.code):
		o.Result = queue.Failed
	default:
		o.putOff(r)
	}
	return o
}

// putOff makes a verdict temporary, whatever the reply was meant to be.
func (o *Outcome) putOff(r reply) {
	o.Result = queue.Temporary
	if r.class() != 4 {
		o.Code, o.Status = 0, "4"+o.Status[1:]
	}
}

// isOurFault knows the codes that say nothing about a recipient: that the store and
// we do not understand each other, or that it wants a login.
func isOurFault(code int) bool {
	switch code {
	case 500, 502, 503, 504, 530, 555:
		return true
	}
	return false
}

// refusal judges a reply that ends the session before any recipient was named: it
// concerns us or the store, and an administrator has to look.
func refusal(t Target, r reply, to string) *Outcome {
	o := &Outcome{Code: r.code, Status: r.status()}
	o.putOff(r)
	text := fmt.Sprintf("mail store %s said in reply to %s: %s", t, to, r)
	switch {
	case r.class() == 4:
	case to == "LHLO" && (r.code == 500 || r.code == 502):
		text += "; it does not speak LMTP: let local.mailbox name its LMTP service"
	default:
		text += "; see its log and whom its LMTP service takes mail from"
	}
	o.Text = oneLine(text)
	return o
}

// mailRefused judges the reply to MAIL: permanent only if it is about this message,
// its size, its sender or what is in it (RFC 3463 §3.2, §3.4, §3.7).
func mailRefused(t Target, r reply) *Outcome {
	status := r.status()
	aboutIt := r.code == 552 || strings.HasPrefix(status, "5.6.") || status == "5.1.7" || status == "5.1.8" || status == "5.3.4"
	if r.class() == 5 && aboutIt {
		return verdict(r, "MAIL")
	}
	return refusal(t, r, "MAIL")
}

// isTooMany reports whether a reply to RCPT means that the transaction has too many
// recipients (RFC 5321 §4.5.3.1.10), and not that a mailbox is full.
func isTooMany(r reply) bool {
	status := r.status()
	return (r.code == 452 || r.code == 552) && (strings.HasSuffix(status, ".5.3") || strings.HasSuffix(status, ".0.0"))
}

// lost is the outcome of an end that is no reply, while something was done.
func lost(t Target, err error, while string) *Outcome {
	var said wordsError
	if errors.As(err, &said) {
		return refusal(t, said.reply, while)
	}
	return temporary("4.4.2", fmt.Sprintf("mail store %s, %s: %v", t, while, err))
}

// unreachable is the outcome of a failed dial.
func unreachable(t Target, err error) *Outcome {
	status, advice := "4.4.1", ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		status, advice = "4.3.5", "let the user that postrider runs as write to the socket and pass its directories"
	case errors.Is(err, fs.ErrNotExist):
		status, advice = "4.3.5", "start the mail store, or let local.mailbox name the socket it makes"
	case errors.Is(err, syscall.ECONNREFUSED):
		advice = "nobody listens there: start the mail store"
	case errors.Is(err, syscall.EAGAIN):
		advice = "too many connections wait for it"
	case t.Network != "unix":
		advice = "is the mail store up, and does a firewall let us through?"
	}
	text := fmt.Sprintf("connect to mail store %s: %v", t, withoutAddress(err))
	if advice != "" {
		text += "; " + advice
	}
	return temporary(status, text)
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
