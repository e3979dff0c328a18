package control

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"

	"postrider/queue"
)

// Format is a way to print a listing.
type Format string

// The formats.
const (
	// FormatMailq is the listing of Postfix's mailq to the letter.
	FormatMailq Format = "mailq"
	// FormatJSON is one Item a line.
	FormatJSON Format = "json"
	// FormatTable is for people: one line a message, within 80 columns.
	FormatTable Format = "table"
	// FormatIDs is one queue ID a line.
	FormatIDs Format = "ids"
)

// printer writes entries one by one, then end. Both may be called without any entry.
type printer interface {
	entry(e *queue.Entry) error
	end() error
}

func newPrinter(f Format, w io.Writer, now time.Time, all bool) (printer, error) {
	switch f {
	case FormatMailq:
		return &mailqPrinter{w: w}, nil
	case FormatJSON:
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return &jsonPrinter{enc}, nil
	case FormatTable:
		return &tablePrinter{w: w, now: now, all: all}, nil
	case FormatIDs:
		return idPrinter{w}, nil
	}
	return nil, fmt.Errorf("unknown listing format %q", f)
}

type jsonPrinter struct{ enc *json.Encoder }

func (p *jsonPrinter) entry(e *queue.Entry) error { return p.enc.Encode(NewItem(e)) }
func (p *jsonPrinter) end() error                 { return nil }

type idPrinter struct{ w io.Writer }

func (p idPrinter) entry(e *queue.Entry) error {
	_, err := io.WriteString(p.w, e.Message.ID.String()+"\n")
	return err
}
func (p idPrinter) end() error { return nil }

// mailqPrinter keeps to Postfix's showq format, which monitoring programs parse.
type mailqPrinter struct {
	w     io.Writer
	count int
	bytes int64
	buf   []byte
}

const mailqHead = "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n"

// mailqIndent is the three columns that lines of recipients leave empty.
const mailqIndent = "                                         "

func (p *mailqPrinter) entry(e *queue.Entry) error {
	m := e.Message
	p.buf = p.buf[:0]
	if p.count == 0 {
		p.buf = append(p.buf, mailqHead...)
	} else {
		p.buf = append(p.buf, '\n')
	}
	p.count++
	p.bytes += m.Size
	sender := "MAILER-DAEMON"
	if !m.Envelope.ReversePath.IsNull() {
		sender = m.Envelope.ReversePath.String()
	}
	mark := ""
	switch entryState(e) {
	case queue.Active:
		mark = "*"
	case queue.Held:
		mark = "!"
	}
	p.buf = fmt.Appendf(p.buf, "%-11s %7d %20.20s %s\n", m.ID.String()+mark, m.Size, m.Arrival.Local().Format("Mon Jan _2 15:04:05 2006"), Printable(sender))
	p.recipients(e)
	_, err := p.w.Write(p.buf)
	return err
}

// recipients prints those still in the queue: first the ones without a reason,
// then the others, after the reason they share.
func (p *mailqPrinter) recipients(e *queue.Entry) {
	last := ""
	p.each(e, func(r queue.DeliveryRecipient) {
		if r.Reply == "" {
			p.recipient(e, r)
		}
	})
	p.each(e, func(r queue.DeliveryRecipient) {
		if r.Reply == "" {
			return
		}
		if reason := Printable(r.Reply); reason != last {
			last = reason
			p.buf = fmt.Appendf(p.buf, "%*s(%s)\n", max(0, 76-len(reason)), "", reason)
		}
		p.recipient(e, r)
	})
}

func (p *mailqPrinter) each(e *queue.Entry, fn func(queue.DeliveryRecipient)) {
	for i := range e.Deliveries {
		for _, r := range e.Deliveries[i].Recipients {
			if !r.Result.Ended() {
				fn(r)
			}
		}
	}
}

func (p *mailqPrinter) recipient(e *queue.Entry, r queue.DeliveryRecipient) {
	p.buf = append(p.buf, mailqIndent...)
	p.buf = append(p.buf, Printable(e.Message.Recipients[r.Index].Address.String())...)
	p.buf = append(p.buf, '\n')
}

func (p *mailqPrinter) end() error {
	if p.count == 0 {
		_, err := io.WriteString(p.w, "Mail queue is empty\n")
		return err
	}
	plural := "s"
	if p.count == 1 {
		plural = ""
	}
	_, err := fmt.Fprintf(p.w, "\n-- %d Kbytes in %d Request%s.\n", p.bytes/1024, p.count, plural)
	return err
}

// Printable makes text from the network safe for a line on a terminal: without
// control characters, and without those that change the direction of text.
func Printable(s string) string {
	if isPlain(s) {
		return s
	}
	clean := func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0, unicode.Is(unicode.Cf, r), r == '\u2028' || r == '\u2029':
			return '?'
		}
		return r
	}
	return strings.Map(clean, s)
}

func isPlain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

type tablePrinter struct {
	w     io.Writer
	now   time.Time
	all   bool // nothing was left out
	count int
}

func (p *tablePrinter) entry(e *queue.Entry) error {
	if p.count == 0 {
		fmt.Fprintf(p.w, "%-12s %-8s %5s %5s  %s\n", "ID", "STATE", "AGE", "SIZE", "SENDER -> RECIPIENTS")
	}
	p.count++
	m := e.Message
	sender := "<>"
	if !m.Envelope.ReversePath.IsNull() {
		sender = m.Envelope.ReversePath.String()
	}
	_, err := fmt.Fprintf(p.w, "%-12s %-8s %5s %5s  %s\n", m.ID, entryState(e), shortAge(p.now.Sub(m.Arrival)), shortSize(m.Size),
		clip(Printable(sender+" -> "+recipientSummary(m)), 45))
	if reason := firstReason(e); err == nil && reason != "" {
		_, err = fmt.Fprintf(p.w, "%-12s %s\n", "", clip(Printable(reason), 67))
	}
	return err
}

func (p *tablePrinter) end() error {
	switch {
	case p.count > 0:
		return nil
	case p.all:
		_, err := io.WriteString(p.w, "The queue is empty.\n")
		return err
	}
	_, err := io.WriteString(p.w, "No message matches.\n")
	return err
}

func recipientSummary(m *queue.Message) string {
	if len(m.Recipients) == 0 {
		return ""
	}
	first := m.Recipients[0].Address.String()
	if len(m.Recipients) > 1 {
		return fmt.Sprintf("%s +%d", first, len(m.Recipients)-1)
	}
	return first
}

func firstReason(e *queue.Entry) string {
	if e.HoldReason != "" {
		return "on hold: " + e.HoldReason
	}
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if !r.Result.Ended() && r.Reply != "" {
				return r.Reply
			}
		}
	}
	return ""
}

func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

func shortAge(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func shortSize(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%dB", n)
	case n < 1<<20:
		return fmt.Sprintf("%dK", n>>10)
	}
	return fmt.Sprintf("%dM", n>>20)
}
