package smtp

import (
	"fmt"
	"strconv"

	gosmtp "github.com/emersion/go-smtp"
)

// appendMail spells MAIL as go-smtp's client does.
func appendMail(b []byte, e *envelope, o *offers) []byte {
	b = append(append(append(b, "MAIL FROM:<"...), e.path...), '>')
	if o.eightBit {
		b = append(b, " BODY=8BITMIME"...)
	}
	if o.sizeKnown && e.mail.Size != 0 {
		b = strconv.AppendInt(append(b, " SIZE="...), e.mail.Size, 10)
	}
	if e.mail.UTF8 {
		b = append(b, " SMTPUTF8"...)
	}
	if r := e.mail.Return; o.dsn && (r == gosmtp.DSNReturnFull || r == gosmtp.DSNReturnHeaders) {
		b = append(append(b, " RET="...), e.mail.Return...)
	}
	if o.dsn && e.mail.EnvelopeID != "" {
		b = appendXtext(append(b, " ENVID="...), e.mail.EnvelopeID)
	}
	return append(b, "\r\n"...)
}

// appendRcpt spells RCPT as go-smtp's client does.
func appendRcpt(b []byte, f *forwardPath, o *offers) []byte {
	b = append(append(append(b, "RCPT TO:<"...), f.path...), '>')
	if o.dsn && f.rcpt != nil {
		b = appendDSN(b, f.rcpt, o)
	}
	return append(b, "\r\n"...)
}

// appendDSN spells the parameters of RFC 3461 §4.
func appendDSN(b []byte, r *gosmtp.RcptOptions, o *offers) []byte {
	for i, n := range r.Notify {
		if i == 0 {
			b = append(b, " NOTIFY="...)
		} else {
			b = append(b, ',')
		}
		b = append(b, n...)
	}
	if r.OriginalRecipient == "" {
		return b
	}
	b = append(append(append(b, " ORCPT="...), r.OriginalRecipientType...), ';')
	if r.OriginalRecipientType == gosmtp.DSNAddressTypeUTF8 {
		return appendUnitext(b, r.OriginalRecipient, o.utf8)
	}
	return appendXtext(b, r.OriginalRecipient)
}

const hexDigits = "0123456789ABCDEF"

// appendXtext spells printable ASCII as RFC 3461 §4 wants it.
func appendXtext(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; isXchar(rune(c)) {
			b = append(b, c)
		} else {
			b = append(b, '+', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

func isXchar(c rune) bool { return c >= '!' && c <= '~' && c != '+' && c != '=' }

// appendUnitext spells an internationalised address for ORCPT (RFC 6533 §3): as
// utf-8-addr-unitext if the host takes UTF-8, else as utf-8-addr-xtext.
func appendUnitext(b []byte, s string, utf8 bool) []byte {
	for _, c := range s {
		if isXchar(c) || utf8 && c >= 0x80 {
			b = append(b, string(c)...)
			continue
		}
		b = fmt.Appendf(b, `\x{%X}`, c)
	}
	return b
}
