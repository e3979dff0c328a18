package dsn

import (
	"fmt"
	"strings"
)

// text is the part in plain words.
func (r *Report) text(attached bool) string {
	t := text{utf8: r.SMTPUTF8}
	t.line("", "This is the mail system at host "+r.Hostname+".")
	t.gap()
	t.line("", r.opening())
	for i := range r.Recipients {
		r.recipient(&t, &r.Recipients[i])
	}
	t.gap()
	t.line("", r.closing())
	if attached {
		t.gap()
		t.line("", r.attachment())
	}
	return t.String()
}

func (r *Report) opening() string {
	to := "the following recipient"
	if len(r.Recipients) > 1 {
		to += "s"
	}
	switch {
	case r.ListOwner && r.Kind == Failed:
		return "I am sorry: a message to a list of yours could not be delivered to " + to + ". It will not be tried again."
	case r.ListOwner && r.Kind == Delayed:
		return "A message to a list of yours has not yet been delivered to " + to + ". It is still being tried."
	case r.Postmaster:
		return "A delivery report that this host made could not be delivered to " + to +
			". Nobody but you, the postmaster, is told of that."
	case r.Kind == Failed:
		return "I am sorry: your message could not be delivered to " + to + ". It will not be tried again."
	case r.Kind == Delayed:
		return "Your message has not yet been delivered to " + to +
			". It is still being tried: YOU NEED NOT SEND IT AGAIN."
	}
	return "You asked to be told what became of your message to " + to + "."
}

func (r *Report) recipient(t *text, p *Recipient) {
	action := p.action(r.Kind)
	t.gap()
	t.line("  ", p.name()+p.writtenAs())
	switch action {
	case Delivered:
		t.line("    ", "The message was delivered.")
	case Expanded:
		t.line("    ", "The message was passed on to those that this address stands for. You will hear no more of it unless it fails.")
	case Relayed:
		t.line("    ", "The message was passed on to "+p.host()+", which sends no reports of delivery. You will hear no more of it unless it fails.")
	default:
		t.reply(p)
	}
	switch {
	case action == Failed && !r.Postmaster && !r.ListOwner && p.expanded():
		t.line("    ", "The address that you wrote stands for this one. Tell the postmaster of "+p.Written.Domain+" that it failed.")
	case action == Failed && !r.Postmaster && !r.ListOwner:
		t.line("    ", advice(p.Status))
	case action == Delayed && !p.WillRetryUntil.IsZero():
		t.line("    ", "It will be tried until "+date(p.WillRetryUntil)+"; you will be told if it fails.")
	}
}

// name gives the recipient as the sender knows it, and what it was expanded to.
func (p *Recipient) name() string {
	name := "<" + p.Address.String() + ">"
	if !p.expanded() {
		return name
	}
	return "<" + p.Written.String() + ">, expanded to " + name
}

// expanded tells whether the sender wrote an address that stands for this one.
func (p *Recipient) expanded() bool { return !p.Written.IsNull() && !p.Written.Equal(p.Address) }

// writtenAs reminds the sender of the address it used, if that was another.
func (p *Recipient) writtenAs() string {
	_, addr, ok := strings.Cut(p.Original, ";")
	if addr = strings.TrimSpace(addr); !ok || addr == "" || strings.EqualFold(addr, p.Address.String()) || strings.EqualFold(addr, p.Written.String()) {
		return ""
	}
	return " (you wrote to <" + addr + ">)"
}

func (p *Recipient) host() string {
	if p.Remote == "" {
		return "another program"
	}
	return p.Remote
}

// advice says what the sender can do about a failure. A status of class 4 is
// that of a recipient given up.
func advice(status string) string {
	class, detail, _ := strings.Cut(status, ".")
	if class == "4" || detail == "4.7" {
		return "Delivery was tried until time was up. Send the message again later, or reach the recipient by other means."
	}
	switch detail {
	case "1.1", "1.6":
		return "There is no such address. Check it for typing errors and send the message again."
	case "1.2", "1.10":
		return "Nothing takes mail for this domain. Check the part after the @ for typing errors and send the message again."
	case "2.1":
		return "The mailbox is not in use. Reach the recipient by other means."
	case "2.2":
		return "The mailbox is full. Send the message again later, or reach the recipient by other means."
	case "2.3", "3.4":
		return "The message is too large. Send a smaller one, or share what it carries in another way."
	case "4.6":
		return "The recipient's mail goes round in circles. Tell the postmaster of the recipient's domain."
	case "6.7":
		return "The recipient's server cannot take mail with international characters in addresses. Use plain ones, if there are any."
	}
	if strings.HasPrefix(detail, "7.") {
		return "The message was refused by a rule. Those who run the server that refused it can say why."
	}
	return "If this does not tell you what to do, show this report to your postmaster."
}

func (r *Report) closing() string {
	s := "If you need help, show this report to your postmaster"
	if r.Postmaster {
		s = "The attached report says what it was about"
	}
	if r.QueueID != "" {
		s += fmt.Sprintf("; in the log of this host the message is %s", r.QueueID)
	}
	return s + "."
}

func (r *Report) attachment() string {
	what := "your message"
	switch {
	case r.Postmaster:
		what = "the report"
	case r.ListOwner:
		what = "the message"
	}
	switch {
	case r.full():
		return "A copy of " + what + " is attached."
	case r.Original.HeaderSize > headerLimit:
		return "The beginning of the header of " + what + " is attached."
	}
	return "The header of " + what + " is attached."
}

// text is written in lines of at most foldWidth columns where words allow.
type text struct {
	b    strings.Builder
	utf8 bool
}

func (t *text) gap() { t.b.WriteByte('\n') }

// line writes words, wrapped and indented.
func (t *text) line(indent, s string) {
	column := 0
	for _, word := range words(clean(s, t.utf8)) {
		switch {
		case column == 0:
			t.b.WriteString(indent)
			column = len(indent)
		case column+1+len(word) > foldWidth:
			t.b.WriteString("\n" + indent)
			column = len(indent)
		default:
			t.b.WriteByte(' ')
			column++
		}
		t.b.WriteString(word)
		column += len(word)
	}
	t.b.WriteByte('\n')
}

// reply repeats who said what.
func (t *text) reply(p *Recipient) {
	lines := cleanLines(p.Diagnostic, t.utf8)
	switch {
	case len(lines) == 0:
		t.line("    ", "No attempt has come to an answer.")
	case p.Remote != "":
		t.line("    ", p.Remote+" said:")
	}
	for _, line := range lines {
		t.line("      ", line)
	}
}

func (t *text) String() string { return t.b.String() }
