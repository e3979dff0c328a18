package smtpd

import (
	"strings"

	"github.com/emersion/go-smtp"

	"postrider/internal/address"
	"postrider/queue"
)

// maxEnvID is the longest envelope identifier (RFC 3461 §4.4).
const maxEnvID = 100

// envelopeOptions notes what the parameters of MAIL ask for.
func envelopeOptions(e *queue.Envelope, o *smtp.MailOptions) error {
	if len(o.EnvelopeID) > maxEnvID {
		return reply(501, "5.5.4", "ENVID is too long")
	}
	e.EnvID = o.EnvelopeID
	e.Ret = queue.Ret(o.Return)
	e.SMTPUTF8 = o.UTF8
	if o.Body == smtp.Body8BitMIME {
		e.Body = queue.Body8BitMIME
	}
	return nil
}

// recipient notes what the parameters of RCPT ask for; original is an ORCPT of a
// type unknown to the engine.
func recipient(a address.Address, o *smtp.RcptOptions, original string) queue.Recipient {
	r := queue.Recipient{Address: a, Original: original}
	if o.OriginalRecipient != "" {
		r.Original = strings.ToLower(string(o.OriginalRecipientType)) + ";" + o.OriginalRecipient
	}
	for _, n := range o.Notify {
		switch n {
		case smtp.DSNNotifyNever:
			r.Notify |= queue.NotifyNever
		case smtp.DSNNotifySuccess:
			r.Notify |= queue.NotifySuccess
		case smtp.DSNNotifyFailure:
			r.Notify |= queue.NotifyFailure
		case smtp.DSNNotifyDelayed:
			r.Notify |= queue.NotifyDelay
		}
	}
	return r
}
