package address

import "strings"

// Parse reads one mailbox: an addr-spec, with or without angle brackets, phrase
// and comments. A source route is dropped, and so is a final dot of the domain.
// The domain is empty if none was given. Control characters are refused.
func Parse(s string) (Address, error) {
	if hasControl(s) {
		return Address{}, refuse(s, ErrControl)
	}
	var first found
	n := 0
	walk(s, func(f found) {
		if n++; n == 1 {
			first = f
		}
	})
	switch {
	case n == 0:
		return Address{}, refuse(s, ErrEmpty)
	case first.err != nil:
		return Address{}, first.err
	case n > 1:
		return Address{}, refuse(s, ErrSeveral)
	}
	return first.addr, nil
}

// ParseList reads a command-line operand: mailboxes and groups, parted by commas,
// semicolons or, between complete addresses, blanks. Empty members and <> do not
// count; encoded words (RFC 2047) are never decoded. What cannot be read is in
// bad and the rest in good, in order; but one control character spoils the whole
// text, since what follows it was smuggled in.
func ParseList(s string) (good []Address, bad []BadAddress) {
	if hasControl(s) {
		return nil, []BadAddress{{printable(s), refuse(s, ErrControl)}}
	}
	return ParseHeader(s)
}

// ParseHeader reads the value of an address field as ParseList does, except that
// folding white space parts words and a control character spoils only the address
// that contains it.
func ParseHeader(value string) (good []Address, bad []BadAddress) {
	walk(value, func(f found) {
		if f.err != nil {
			bad = append(bad, BadAddress{printable(value[f.start:f.end]), f.err})
			return
		}
		good = append(good, f.addr)
	})
	return good, bad
}

// CompleteHeader writes @origin after each address in the value of an address
// field that has no domain, and a comma between it and one that only blanks part
// from it. Everything else stays byte for byte: phrases, comments, groups, folding
// and what cannot be read.
func CompleteHeader(value, origin string) string {
	if origin == "" {
		return value
	}
	var b strings.Builder
	copied, end, before := 0, 0, false
	walk(value, func(f found) {
		bare := f.err == nil && f.addr.Domain == ""
		if f.follows && (bare || before) {
			at := end + len(strings.TrimRight(value[end:f.start], " \t\r\n"))
			b.WriteString(value[copied:at] + ",")
			copied = at
		}
		before, end = bare, f.end
		if !bare {
			return
		}
		b.WriteString(value[copied:f.localEnd])
		b.WriteByte('@')
		b.WriteString(origin)
		copied = f.localEnd
	})
	if copied == 0 {
		return value
	}
	b.WriteString(value[copied:])
	return b.String()
}

// ParsePath reads what stands between the brackets of an SMTP path (RFC 5321
// §4.1.2): no phrases, comments or blanks. The empty string is the null
// reverse-path; a domain may be missing, as in RCPT TO:<postmaster>.
func ParsePath(s string) (Address, error) {
	if s == "" {
		return Address{}, nil
	}
	if hasControl(s) {
		return Address{}, refuse(s, ErrControl)
	}
	var toks []token
	sc := scanner{s: s}
	for t, ok := sc.next(); ok; t, ok = sc.next() {
		if isBlank(t) {
			return Address{}, refuse(s, errBlank)
		}
		toks = append(toks, t)
	}
	toks = dropRoute(toks)
	if i := lastAt(toks); i >= 0 && hasKind(toks[:i], at) {
		return Address{}, refuse(s, ErrSeveral)
	}
	a, _, err := parseSpec(s, toks)
	if err != nil {
		return Address{}, refuse(s, err)
	}
	return a, nil
}

// ParseReversePath reads the value of sendmail's -f option: any form of one
// mailbox, or nothing or <> for the null reverse-path. Of several addresses the
// first is taken, and a control character within ends the value; warning then says in
// words what was ignored.
func ParseReversePath(s string) (a Address, warning string, err error) {
	s = strings.Trim(s, " \t\r\n")
	if i := strings.IndexFunc(s, isControl); i >= 0 {
		warning = "sender address cut at a control character"
		s = s[:i]
	}
	var first found
	n := 0
	walk(s, func(f found) {
		if n++; n == 1 {
			first = f
		}
	})
	switch {
	case n == 0:
		return Address{}, warning, nil
	case first.err != nil:
		return Address{}, warning, first.err
	case n > 1:
		warning = "only the first address is used as sender: " + printable(first.addr.String())
	}
	return first.addr, warning, nil
}

// FromUnquoted makes an Address of a local part whose quoting was already removed
// and a domain, which may be empty; both are checked as Parse checks them.
func FromUnquoted(local, domain string) (Address, error) {
	if err := checkLocal(local); err != nil {
		return Address{}, refuse(local+"@"+domain, err)
	}
	if domain == "" {
		return Address{Local: local}, nil
	}
	d, err := checkDomain(domain)
	if err != nil {
		return Address{}, refuse(local+"@"+domain, err)
	}
	return Address{Local: local, Domain: d}, nil
}

// hasControl reports whether text has a control character other than a tab.
func hasControl(s string) bool { return strings.IndexFunc(s, isControl) >= 0 }

func isControl(r rune) bool { return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 }
