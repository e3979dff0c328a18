package aliases

import (
	"strings"

	"postrider/internal/address"
)

// members reads a list of items parted by commas. It is the syntax of the right
// side of an alias and of each line of a .forward or an include file.
type members struct {
	text  string
	pos   int
	items []Item
}

// parseMembers gives the items of a list. Their Line is the offset of the member
// in text, which the caller knows the line of.
func parseMembers(text string) []Item {
	p := &members{text: text}
	for p.skipSeparators(); p.pos < len(p.text); p.skipSeparators() {
		start := p.pos
		first := len(p.items)
		p.member()
		for i := first; i < len(p.items); i++ {
			p.items[i].Line = start
		}
	}
	return p.items
}

func (p *members) skipSeparators() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\r\n,", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

func (p *members) add(it Item) { p.items = append(p.items, it) }

// member reads what starts at pos and moves pos behind it.
func (p *members) member() {
	rest := p.text[p.pos:]
	switch {
	case rest[0] == '"':
		p.quoted()
	case rest[0] == '|':
		p.command()
	case rest[0] == '/':
		p.path("")
	case hasIncludePrefix(rest):
		p.path(includePrefix)
	case rest[0] == '\\':
		p.pos++
		p.addresses(ItemMailbox)
	default:
		p.addresses(ItemAddress)
	}
}

// quoted reads "|command", "/path" or ":include:/path"; anything else in quotes
// is the local part of an address.
func (p *members) quoted() {
	value, n, ok := unquote(p.text[p.pos:])
	if !ok {
		p.add(bad(p.text[p.pos:], "closing quote is missing"))
		p.pos = len(p.text)
		return
	}
	it, isSpecial := special(value)
	after := p.text[p.pos+n:]
	switch {
	case !isSpecial || strings.HasPrefix(after, "@"):
		p.addresses(ItemAddress)
	case after == "" || strings.IndexByte(" \t,", after[0]) >= 0:
		p.add(it)
		p.pos += n
	default:
		text, _ := p.upToComma(`"`)
		p.add(bad(text, "text follows the closing quote"))
	}
}

// command reads a command without quotes around it. It takes everything up to a
// comma that the shell would see as one, so that never half of it is run.
func (p *members) command() {
	text, ok := p.upToComma(`"'`)
	if !ok {
		p.add(bad(text, "closing quote is missing"))
		return
	}
	line := strings.TrimSpace(text[1:])
	if value, n, ok := unquote(line); ok && n == len(line) {
		line = value // |"command arguments"
	}
	it, _ := special("|" + line)
	p.add(it)
}

// path reads a path without quotes, or with quotes after the prefix.
func (p *members) path(prefix string) {
	text, _ := p.upToComma(`"`)
	path := strings.TrimSpace(text[len(prefix):])
	if value, n, ok := unquote(path); ok && n == len(path) {
		path = value
	} else if !isPlain(path) {
		p.add(bad(text, `a path with blanks, quotes or backslashes must be in quotes, as in "/var/mail/our list"`))
		return
	}
	it, _ := special(prefix + path)
	p.add(it)
}

// upToComma takes the text up to a comma outside quotes, which may be of any of
// the given kinds; false if a quote is left open.
func (p *members) upToComma(quotes string) (string, bool) {
	var quote byte
	i := p.pos
scan:
	for ; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '\\' && quote != '\'':
			i++
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case strings.IndexByte(quotes, c) >= 0:
			quote = c
		case c == ',':
			break scan
		}
	}
	i = min(i, len(p.text))
	text := p.text[p.pos:i]
	p.pos = i
	return strings.TrimSpace(text), quote == 0
}

// addresses reads addresses, of which one is usual: blanks part them too. A
// backslash is meant for the one that follows.
func (p *members) addresses(kind ItemKind) {
	start := p.pos
	end, colon := p.addressEnd(kind == ItemMailbox)
	p.pos = end
	text := strings.TrimSpace(p.text[start:end])
	if colon {
		p.add(bad(text, `is no target: write an address, "|command", /path or :include:/path`))
		return
	}
	if kind == ItemMailbox && text == "" {
		p.add(bad(`\`, "no name follows the backslash"))
		return
	}
	good, wrong := address.ParseHeader(text)
	for _, a := range good {
		p.add(target(kind, a))
	}
	for _, w := range wrong {
		p.add(bad(w.Text, w.Err.Error()))
	}
}

// target makes an item of an address, unless it looks like another kind of target
// that is not set off from what stands before it.
func target(kind ItemKind, a address.Address) Item {
	if a.Domain == "" && (strings.IndexByte("|/", a.Local[0]) >= 0 || hasIncludePrefix(a.Local)) {
		return bad(a.Local, "put a comma before it")
	}
	return Item{Kind: kind, Address: a}
}

// addressEnd finds the comma behind an address, or the blank if it ends there, and
// tells whether there was a colon, which belongs to no address outside brackets.
func (p *members) addressEnd(atBlank bool) (end int, colon bool) {
	depth, angle := 0, false
	for i := p.pos; i < len(p.text); i++ {
		switch c := p.text[i]; c {
		case '\\':
			i++
		case '"':
			if depth > 0 {
				continue
			}
			_, n, ok := unquote(p.text[i:])
			if !ok {
				return len(p.text), colon
			}
			i += n - 1
		case '(':
			depth++
		case ')':
			depth = max(0, depth-1)
		case '<', '[':
			angle = angle || depth == 0
		case '>', ']':
			angle = angle && depth > 0
		case ':':
			colon = colon || depth == 0 && !angle
		case ',':
			if depth == 0 && !angle {
				return i, colon
			}
		case ' ', '\t', '\n', '\r':
			// What a backslash stands before is a target of its own.
			own := atBlank || strings.HasPrefix(p.text[i+1:], `\`)
			if own && depth == 0 && !angle {
				return i, colon
			}
		}
	}
	return len(p.text), colon
}

// unquote reads the quoted string that s starts with, of n bytes with its quotes.
// A backslash takes the character after it literally (RFC 5322 §3.2.4).
func unquote(s string) (value string, n int, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		return "", 0, false
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return b.String(), i + 1, true
		case '\\':
			if i++; i == len(s) {
				return "", 0, false
			}
		}
		b.WriteByte(s[i])
	}
	return "", 0, false
}
