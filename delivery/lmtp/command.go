package lmtp

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"postrider/internal/address"
	"postrider/queue"
)

// mail spells MAIL; refused says why that cannot be done for this store.
func (e *Envelope) mail(o offers) (command string, refused *Outcome) {
	path, refused := o.path(e.From)
	if refused != nil {
		return "", refused
	}
	command = "MAIL FROM:<" + path + ">"
	if o.eightBit && e.Body != queue.Body7Bit {
		command += " BODY=8BITMIME"
	}
	if o.utf8 && e.needsUTF8() {
		command += " SMTPUTF8"
	}
	if o.size && e.Size > 0 {
		command += " SIZE=" + strconv.FormatInt(e.Size, 10)
	}
	return command, nil
}

// needsUTF8 reports whether the header or an address that stands in the envelope is
// internationalised.
func (e *Envelope) needsUTF8() bool {
	if e.SMTPUTF8 || !e.From.IsASCII() {
		return true
	}
	for i := range e.Recipients {
		if !e.Recipients[i].Address.IsASCII() {
			return true
		}
	}
	return false
}

// rcpt spells RCPT.
func (r *Recipient) rcpt(o offers) (command string, refused *Outcome) {
	path, refused := o.path(r.Address)
	if refused != nil {
		return "", refused
	}
	command = "RCPT TO:<" + path + ">"
	if !o.dsn {
		return command, nil
	}
	if n := notify(r.Notify); n != "" {
		command += " NOTIFY=" + n
	}
	if kind, original, ok := strings.Cut(r.Original, ";"); ok && original != "" && !strings.ContainsFunc(original, unicode.IsControl) {
		command += orcpt(strings.ToLower(kind), original, o.utf8)
	}
	return command, nil
}

// path spells an address as it stands between angle brackets.
func (o offers) path(a address.Address) (string, *Outcome) {
	if strings.ContainsFunc(a.Local, unicode.IsControl) || strings.ContainsFunc(a.Domain, unicode.IsControl) || strings.ContainsAny(a.Domain, " <>") {
		return "", failed("5.1.3", fmt.Sprintf("address %q cannot be written in LMTP", a.String()))
	}
	if o.utf8 || a.IsASCII() {
		return a.String(), nil
	}
	ascii, err := a.ASCII()
	if err != nil || !ascii.IsASCII() {
		return "", failed("5.6.7", fmt.Sprintf("the mail store does not take internationalised addresses such as %s", a))
	}
	return ascii.String(), nil
}

// notify spells NOTIFY (RFC 3461 §4.1) without SUCCESS, which the caller reports.
func notify(n queue.Notify) string {
	var words []string
	if n&queue.NotifyFailure != 0 {
		words = append(words, "FAILURE")
	}
	if n&queue.NotifyDelay != 0 {
		words = append(words, "DELAY")
	}
	if n != 0 && (len(words) == 0 || n&queue.NotifyNever != 0) {
		return "NEVER"
	}
	return strings.Join(words, ",")
}

// orcpt spells ORCPT: xtext for ordinary addresses (RFC 3461 §4), and for
// internationalised ones utf-8-addr-unitext, or utf-8-addr-xtext for stores that do
// not take UTF-8 (RFC 6533 §3).
func orcpt(kind, original string, utf8 bool) string {
	var b strings.Builder
	b.WriteString(" ORCPT=" + kind + ";")
	for _, c := range original {
		plain := c >= '!' && c <= '~' && c != '+' && c != '='
		switch {
		case kind == "rfc822" && plain, kind == "utf-8" && (plain && c != '\\' || utf8 && c >= 0x80):
			b.WriteRune(c)
		case kind == "rfc822" && c < 0x80:
			fmt.Fprintf(&b, "+%02X", c)
		case kind == "utf-8":
			fmt.Fprintf(&b, `\x{%X}`, c)
		default:
			return ""
		}
	}
	return b.String()
}
