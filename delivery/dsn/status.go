package dsn

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// status writes the fields for machines: a block for the message, then one for
// each recipient (RFC 3464 §2.2, §2.3).
func (r *Report) status() string {
	f := fields{utf8: r.SMTPUTF8}
	f.add("Reporting-MTA", "dns; "+cmp.Or(r.ReportingMTA, r.Hostname))
	if r.EnvID != "" {
		f.add("Original-Envelope-Id", r.EnvID)
	}
	if !r.ArrivalDate.IsZero() {
		f.add("Arrival-Date", date(r.ArrivalDate))
	}
	for i := range r.Recipients {
		f.end()
		r.Recipients[i].describe(&f, r.Kind)
	}
	return f.String()
}

// describe writes the block of one recipient.
func (p *Recipient) describe(f *fields, kind Kind) {
	action := p.action(kind)
	if p.Original != "" {
		f.add("Original-Recipient", typedAddress(p.Original, ";", f.utf8))
	}
	f.add("Final-Recipient", typedAddress("rfc822;"+p.Address.String(), "; ", f.utf8))
	f.add("Action", action.String())
	f.add("Status", statusFor(action, p.Status))
	if p.Remote != "" {
		f.add("Remote-MTA", "dns; "+p.Remote)
	}
	if len(f.lines(p.Diagnostic)) > 0 {
		f.add("Diagnostic-Code", p.diagnosticType()+"; "+p.Diagnostic)
	}
	if !p.LastAttempt.IsZero() {
		f.add("Last-Attempt-Date", date(p.LastAttempt))
	}
	if p.FinalLog != "" {
		f.add("Final-Log-ID", p.FinalLog)
	}
	if action == Delayed && !p.WillRetryUntil.IsZero() {
		f.add("Will-Retry-Until", date(p.WillRetryUntil))
	}
}

func (p *Recipient) action(kind Kind) Kind {
	if p.Action < Failed || p.Action > Expanded {
		return kind
	}
	return p.Action
}

// diagnosticType: "smtp" promises a reply of another host (RFC 3464 §2.3.6).
func (p *Recipient) diagnosticType() string {
	if p.Remote != "" {
		return "smtp"
	}
	return "X-Postrider"
}

var statusForm = regexp.MustCompile(`^([245])\.(\d{1,3})\.(\d{1,3})$`)

// statusFor gives a status whose class fits the action (RFC 3463 §2). A failure
// after temporary trouble keeps what the trouble was.
func statusFor(action Kind, status string) string {
	class := map[Kind]string{Failed: "5", Delayed: "4", Delivered: "2", Relayed: "2", Expanded: "2"}[action]
	m := statusForm.FindStringSubmatch(status)
	if m == nil || (m[1] == "2") != (class == "2") {
		return class + ".0.0"
	}
	return class + "." + m[2] + "." + m[3]
}

var atomForm = regexp.MustCompile(`^[0-9A-Za-z-]+$`)

// typedAddress writes "type;address" as a field value. An address that is not
// ASCII has the type utf-8 (RFC 6533 §3), and is encoded where the report is not
// international.
func typedAddress(s, separator string, utf8ok bool) string {
	kind, addr, ok := strings.Cut(s, ";")
	if !ok || !atomForm.MatchString(kind) {
		kind, addr = "rfc822", s
	}
	addr = strings.TrimSpace(addr)
	if !isASCII(addr) {
		kind = "utf-8"
		if !utf8ok {
			addr = encodeUTF8Address(addr)
		}
	}
	return kind + separator + addr
}

// encodeUTF8Address writes an address as utf-8-addr-xtext (RFC 6533 §3).
func encodeUTF8Address(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r <= ' ' || r >= 0x7f || r == '+' || r == '=' || r == '\\' {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
