package submission

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"postrider/internal/sysexits"
	"postrider/queue"
)

// Error says why a message, or an address, was not accepted, in the terms of
// every front door.
type Error struct {
	// Code is the SMTP reply code.
	Code int
	// Status is the enhanced status code (RFC 3463), "5.7.1".
	Status string
	// Exit is the exit status of the sendmail command (sysexits.h).
	Exit int
	// Text is for the submitter: one line, no code.
	Text string
	// Err is the cause, for the log; it may be nil.
	Err error
}

// Error gives the text and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Text
	}
	return e.Text + ": " + e.Err.Error()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Temporary reports whether the same submission may succeed later.
func (e *Error) Temporary() bool { return e.Code/100 == 4 }

func refuse(code int, status string, exit int, format string, args ...any) *Error {
	return &Error{Code: code, Status: status, Exit: exit, Text: oneLine(fmt.Sprintf(format, args...))}
}

// storageError turns an error of the store into what the submitter is told: never
// more than that we have trouble, since the rest is the administrator's.
func storageError(verb string, err error) *Error {
	e := &Error{Code: 451, Status: "4.3.0", Exit: sysexits.TempFail, Text: "local error in processing, try again later",
		Err: fmt.Errorf("%s: %w", verb, err)}
	switch {
	case errors.Is(err, queue.ErrNoSpace):
		e.Code, e.Status, e.Text = 452, "4.3.1", "insufficient system storage, try again later"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, queue.ErrClosed):
		e.Code, e.Status, e.Text = 421, "4.3.2", "service is shutting down, try again later"
	}
	return e
}

// oneLine makes text safe for a reply and a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}
