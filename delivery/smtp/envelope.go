package smtp

import (
	"fmt"
	"strings"

	gosmtp "github.com/emersion/go-smtp"

	"postrider/internal/address"
	"postrider/queue"
)

// refuse tells in our own words, before MAIL, why the host cannot take the message
// as a whole; nil if it can. Another host may.
func (j *job) refuse(o *offers) *Reply {
	var r Reply
	switch {
	case o.size > 0 && j.tx.Size > o.size:
		r = ours("5.3.4", fmt.Sprintf("message of %d bytes is larger than the %d that %s takes", j.tx.Size, o.size, j.t.label()))
	case j.tx.EightBit && !o.eightBit:
		r = ours("5.6.3", j.t.label()+" does not take 8-bit content")
	case !o.utf8 && (j.tx.SMTPUTF8 || !isASCII(j.tx.From.Local)):
		r = ours("5.6.7", j.t.label()+" does not take internationalised senders and headers")
	default:
		return nil
	}
	return &r
}

// compose makes the envelope for the pending recipients. Those that cannot be
// spelled for this host get their result and are no longer pending.
func (j *job) compose(o *offers) (*envelope, *Reply) {
	e := &j.env
	e.rcpts = e.rcpts[:0]
	utf8 := o.utf8 && j.needsUTF8()
	path, refused := j.path(j.tx.From, utf8)
	if refused != nil {
		return nil, refused
	}
	e.path = path
	e.mail = gosmtp.MailOptions{Size: j.tx.Size, UTF8: utf8, Return: gosmtp.DSNReturn(j.tx.Ret)}
	if isPrintable(j.tx.EnvID) {
		e.mail.EnvelopeID = j.tx.EnvID
	}
	kept := j.pending[:0]
	for _, i := range j.pending {
		r := &j.tx.Recipients[i]
		path, refused := j.path(r.Address, utf8)
		if refused != nil {
			j.rep.Results[i].Reply = *refused
			continue
		}
		kept = append(kept, i)
		if o.rcptMax == 0 || len(e.rcpts) < o.rcptMax {
			e.rcpts = append(e.rcpts, forwardPath{index: i, path: path, rcpt: dsnOptions(r, o)})
		}
	}
	j.pending = kept
	j.unasked = len(e.rcpts) < len(kept)
	return e, nil
}

// needsUTF8 reports whether RFC 6531 is needed by the header or any local part
// still to be sent; domains alone have A-labels.
func (j *job) needsUTF8() bool {
	if j.tx.SMTPUTF8 || !isASCII(j.tx.From.Local) {
		return true
	}
	for _, i := range j.pending {
		if !isASCII(j.tx.Recipients[i].Address.Local) {
			return true
		}
	}
	return false
}

// path spells an address as it stands between angle brackets.
func (j *job) path(a address.Address, utf8 bool) (string, *Reply) {
	if !isClean(a) {
		r := ours("5.1.3", fmt.Sprintf("address %q cannot be written in SMTP", a.String()))
		return "", &r
	}
	if utf8 || isASCII(a.Local) && isASCII(a.Domain) {
		return a.String(), nil
	}
	if !isASCII(a.Local) {
		r := ours("5.6.7", fmt.Sprintf("%s does not take internationalised addresses such as %q", j.t.label(), a.String()))
		return "", &r
	}
	domain, err := j.c.opts.ToASCII(a.Domain)
	if err != nil || !isASCII(domain) {
		r := ours("5.6.7", fmt.Sprintf("domain %q has no ASCII form: %v", a.Domain, err))
		return "", &r
	}
	a.Domain = domain
	return a.String(), nil
}

// isClean reports whether an address can break out of its command line.
func isClean(a address.Address) bool {
	for i := range len(a.Local) {
		if c := a.Local[i]; c < ' ' || c == 0x7f {
			return false
		}
	}
	for i := range len(a.Domain) {
		if c := a.Domain[i]; c <= ' ' || c == 0x7f || c == '<' || c == '>' {
			return false
		}
	}
	return true
}

// dsnOptions are the parameters of RCPT (RFC 3461 §4), none for hosts that do not
// know them.
func dsnOptions(r *Recipient, o *offers) *gosmtp.RcptOptions {
	if !o.dsn || r.Notify == 0 && r.Original == "" {
		return nil
	}
	opts := &gosmtp.RcptOptions{Notify: notify(r.Notify)}
	kind, original, ok := strings.Cut(r.Original, ";")
	switch {
	case !ok || original == "":
	case strings.EqualFold(kind, string(gosmtp.DSNAddressTypeRFC822)) && isPrintable(original):
		opts.OriginalRecipientType, opts.OriginalRecipient = gosmtp.DSNAddressTypeRFC822, original
	case strings.EqualFold(kind, string(gosmtp.DSNAddressTypeUTF8)):
		opts.OriginalRecipientType, opts.OriginalRecipient = gosmtp.DSNAddressTypeUTF8, original
	}
	return opts
}

func notify(n queue.Notify) []gosmtp.DSNNotify {
	if n&queue.NotifyNever != 0 {
		return []gosmtp.DSNNotify{gosmtp.DSNNotifyNever}
	}
	var list []gosmtp.DSNNotify
	for _, m := range []struct {
		bit  queue.Notify
		word gosmtp.DSNNotify
	}{{queue.NotifySuccess, gosmtp.DSNNotifySuccess}, {queue.NotifyFailure, gosmtp.DSNNotifyFailure}, {queue.NotifyDelay, gosmtp.DSNNotifyDelayed}} {
		if n&m.bit != 0 {
			list = append(list, m.word)
		}
	}
	return list
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
