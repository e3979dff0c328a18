package command

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// textWidth is that of a terminal, labelWidth the part of it for what is told.
const (
	textWidth  = 80
	labelWidth = 12
)

// write tells people.
func (r *routeReport) write(w io.Writer) error {
	var b strings.Builder
	line(&b, "to", r.Address)
	if r.From != "" {
		line(&b, "from", r.From)
	}
	if r.HeaderFrom != "" {
		line(&b, "From field", r.HeaderFrom)
	}
	for i, s := range r.Steps {
		line(&b, "step "+strconv.Itoa(i+1), s)
	}
	for _, l := range r.Leaves {
		b.WriteByte('\n')
		l.write(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (l *routeLeaf) write(b *strings.Builder) {
	line(b, "recipient", l.Address)
	if len(l.Via) > 0 {
		line(b, "  by way of", strings.Join(l.Via, ", "))
	}
	if l.Outcome != "" {
		line(b, "  "+l.Outcome, l.Error)
	}
	if l.Outcome != "" && l.Route == "local" {
		return
	}
	line(b, "  from", l.From)
	switch l.Route {
	case "local":
		into := l.Target
		if l.User != "" {
			into += " (as user " + l.User + ")"
		}
		line(b, "  into", into)
		return
	case "direct":
		line(b, "  way", "straight to the hosts of the domain")
		line(b, "  TLS", explainTLS(l.TLS)+" ("+l.Reason+")")
	}
	for _, s := range l.Smarthosts {
		login := ""
		if s.Username != "" {
			login = ", login " + s.Username
		}
		line(b, "  way", fmt.Sprintf("smarthost %s%s, %s", s.Address, login, s.Rule))
		line(b, "  TLS", explainTLS(s.TLS)+" (smarthost.tls)")
	}
	if l.Outcome != "" && len(l.Hosts) == 1 {
		return // it is the host that the outcome is about
	}
	for _, h := range l.Hosts {
		text := fmt.Sprintf("%s port %d: %s", h.Name, h.Port, strings.Join(h.Addresses, ", "))
		if h.Error != "" {
			text = fmt.Sprintf("%s is passed over: %s", h.Name, h.Error)
		}
		line(b, "  host", text)
	}
}

// explainTLS puts the configuration's words for TLS in plain ones.
func explainTLS(word string) string {
	switch word {
	case "opportunistic":
		return "encrypted if the host offers it"
	case "implicit":
		return "encrypted from the start, with a verified certificate, or not at all"
	case "none":
		return "never encrypted"
	}
	return "encrypted, with a verified certificate, or not at all"
}

// line writes a label and the text behind it, in as many lines as that takes.
func line(b *strings.Builder, label, text string) {
	column := labelWidth
	fmt.Fprintf(b, "%-*s", labelWidth, label)
	for i, word := range strings.Fields(strings.Map(visible, text)) {
		n := len([]rune(word))
		switch {
		case i > 0 && column+1+n > textWidth:
			b.WriteString("\n" + strings.Repeat(" ", labelWidth))
			column = labelWidth
		case i > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}

// visible keeps what files and hosts say from steering the terminal.
func visible(r rune) rune {
	if unicode.IsControl(r) && r != '\n' && r != '\t' {
		return '?'
	}
	return r
}
