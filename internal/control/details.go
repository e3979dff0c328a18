package control

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"postrider/queue"
)

// WriteDetails prints a message and its attempts for people.
func WriteDetails(w io.Writer, d *Details) error {
	var b bytes.Buffer
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, Printable(fmt.Sprintf(format, args...)))
	}
	line("Queue ID", "%s", d.ID)
	line("State", "%s", d.State)
	if d.HoldReason != "" {
		line("Hold reason", "%s", d.HoldReason)
	}
	line("Sender", "<%s>", d.Sender)
	line("Submitted", "%s", submittedBy(d))
	line("Arrived", "%s", local(d.Arrival))
	line("Expires", "%s", local(d.Expires))
	line("Size", "%d bytes", d.Size)
	line("Message-ID", "%s", d.MessageID)
	for _, r := range d.Recipients {
		writeRecipient(&b, r)
	}
	for _, a := range d.Attempts {
		writeAttempt(&b, a)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func submittedBy(d *Details) string {
	by := string(d.Via)
	if d.UID != nil {
		by += fmt.Sprintf(", uid %d", *d.UID)
	}
	if d.Command != "" {
		by += ", " + d.Command
	}
	if d.Client != "" {
		by += ", from " + d.Client
	}
	return by
}

func writeRecipient(b *bytes.Buffer, r ItemRecipient) {
	fmt.Fprintf(b, "\nTo <%s>: %s", Printable(r.Address), r.State)
	if r.Attempts > 0 {
		fmt.Fprintf(b, " after %s", Plural(r.Attempts, "attempt"))
	}
	if r.NextAttempt != nil {
		fmt.Fprintf(b, ", next attempt %s", local(*r.NextAttempt))
	}
	b.WriteByte('\n')
	if len(r.ExpandedFrom) > 0 {
		fmt.Fprintf(b, "  expanded from <%s>\n", Printable(strings.Join(r.ExpandedFrom, ">, <")))
	}
	if t := r.Target; t != nil {
		fmt.Fprintf(b, "  goes to the %s %s", t.Kind, Printable(t.Value))
		if t.User != "" {
			fmt.Fprintf(b, ", on behalf of %s", Printable(t.User))
		}
		b.WriteByte('\n')
	}
	if _, open := queue.ParseState(r.State); open {
		fmt.Fprintf(b, "  waits for %s\n", Printable(r.Destination))
	}
	if r.LastReply != "" {
		fmt.Fprintf(b, "  %s %s\n", r.Status, Printable(r.LastReply))
	}
}

func writeAttempt(b *bytes.Buffer, a AttemptDetail) {
	fmt.Fprintf(b, "\n%s  %s (%.1f s) %s\n", local(a.Started), Printable(a.Destination), a.Seconds, Printable(a.Note))
	for _, t := range a.Tries {
		fmt.Fprintf(b, "  %s %s", Printable(t.Host), t.Address)
		if t.TLS != "" {
			fmt.Fprintf(b, ", TLS: %s", Printable(t.TLS))
		}
		if t.Error != "" {
			fmt.Fprintf(b, "\n    %s", Printable(t.Error))
		}
		b.WriteByte('\n')
	}
	for _, o := range a.Outcomes {
		fmt.Fprintf(b, "  <%s> %s %s %s\n", Printable(o.Address), o.Result, o.Status, Printable(o.Reply))
	}
}

func local(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }

// Plural counts things in words: "1 message", "2 messages".
func Plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
