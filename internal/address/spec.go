package address

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxLocal is more than the 64 octets of RFC 5321 §4.5.3.1.1, which forwarding
// and list programs overstep, and little enough for any SMTP command line.
const maxLocal = 512

// parseSpec reads an addr-spec from the tokens of one address, outer blanks and
// brackets already removed. The last at parts local part and domain, so that
// a@b@x is the local part "a@b". It yields where in s the local part ends, too.
func parseSpec(s string, toks []token) (Address, int, error) {
	toks = dropRoute(toks)
	i := lastAt(toks)
	localToks := toks
	if i >= 0 {
		localToks = trim(toks[:i])
	}
	localToks = joinDots(s, localToks)
	if len(localToks) == 0 {
		return Address{}, 0, errLocal
	}
	local, err := localPart(s, localToks)
	if err != nil {
		return Address{}, 0, err
	}
	a := Address{Local: local}
	if i >= 0 {
		if a.Domain, err = domainPart(s, joinDots(s, trim(toks[i+1:]))); err != nil {
			return Address{}, 0, err
		}
	}
	return a, localToks[len(localToks)-1].end, nil
}

// dropRoute removes a source route, which RFC 5321 §3.6.1 tells to ignore.
func dropRoute(toks []token) []token {
	if len(toks) == 0 || toks[0].kind != at {
		return toks
	}
	i := slices.IndexFunc(toks, func(t token) bool { return t.kind == colon })
	if i < 0 {
		return toks
	}
	return trim(toks[i+1:])
}

// joinDots leaves out the blanks and comments next to a dot, which were allowed
// there of old (RFC 5322 §4.4).
func joinDots(s string, toks []token) []token {
	if !slices.ContainsFunc(toks, isBlank) {
		return toks
	}
	var kept []token
	for len(toks) > 0 {
		rest := trim(toks)
		if len(rest) > 0 && len(kept) > 0 && !rest[0].startsWithDot(s) && !kept[len(kept)-1].endsWithDot(s) {
			kept = append(kept, toks[:len(toks)-len(rest)]...)
		}
		if len(rest) > 0 {
			kept, rest = append(kept, rest[0]), rest[1:]
		}
		toks = rest
	}
	return kept
}

func lastAt(toks []token) int {
	for i := len(toks) - 1; i >= 0; i-- {
		if toks[i].kind == at {
			return i
		}
	}
	return -1
}

func localPart(s string, toks []token) (string, error) {
	var b strings.Builder
	for _, t := range toks {
		text := s[t.start:t.end]
		switch t.kind {
		case quoted:
			// A tab in quotes is white space for folding (RFC 5322 §3.2.4).
			b.WriteString(strings.ReplaceAll(unescape(text[1:len(text)-1]), "\t", " "))
		case atom:
			if strings.IndexByte(text, ')') >= 0 || dangling(text) {
				return "", errSpecial
			}
			b.WriteString(unescape(text))
		case at, colon, literal:
			b.WriteString(text)
		case space, comment:
			return "", errBlank
		default:
			return "", errSpecial
		}
	}
	return b.String(), checkLocal(b.String())
}

// dangling reports whether text ends in a backslash that quotes nothing.
func dangling(text string) bool {
	return (len(text)-len(strings.TrimRight(text, `\`)))%2 == 1
}

func domainPart(s string, toks []token) (string, error) {
	if len(toks) == 1 && toks[0].kind == literal {
		return checkDomain(s[toks[0].start:toks[0].end])
	}
	var b strings.Builder
	for _, t := range toks {
		if t.kind != atom {
			return "", ErrDomain
		}
		b.WriteString(s[t.start:t.end])
	}
	return checkDomain(b.String())
}

// checkLocal refuses what must not be in a local part, however it is quoted.
func checkLocal(local string) error {
	switch {
	case local == "":
		return errLocal
	case len(local) > maxLocal:
		return errLong
	case !utf8.ValidString(local):
		return ErrUTF8
	case strings.ContainsFunc(local, unicode.IsControl):
		return ErrControl
	}
	return nil
}
