package local

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"postrider/queue"
)

// refusal is an error that knows its outcome.
type refusal struct{ Outcome }

func (r *refusal) Error() string { return r.Text }

func failed(status, text string) error {
	return &refusal{Outcome{Result: queue.Failed, Status: status, Text: text}}
}

func temporary(status, text string) error {
	return &refusal{Outcome{Result: queue.Temporary, Status: status, Text: text}}
}

// outcomeOf classifies an error. What the system says is never a reason to
// return mail: somebody can mend it.
func outcomeOf(err error) Outcome {
	var r *refusal
	if errors.As(err, &r) {
		return r.Outcome
	}
	o := Outcome{Result: queue.Temporary, Status: "4.3.0", Text: oneLine(err.Error())}
	switch {
	case errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		o.Status = "4.2.2"
		o.Text = "mailbox is full: " + o.Text
	case errors.Is(err, unix.ENOSPC):
		o.Status = "4.3.1"
		o.Text = "no space for mailboxes: " + o.Text
	}
	return o
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
