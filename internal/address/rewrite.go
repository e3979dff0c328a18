package address

import (
	"slices"
	"strings"
)

// RewriteHeader replaces each address in the value of an address field by what
// rewrite makes of it. Only local part and domain are written anew, and of these
// only what differs; a source route goes. Everything else stays byte for byte:
// phrases, comments, groups and folding. A value with a part that cannot be read, or
// that would not read as the addresses wanted, is left as it is.
func RewriteHeader(value string, rewrite func(Address) Address) string {
	var b strings.Builder
	var want []Address
	copied, readable := 0, true
	walk(value, func(f found) {
		readable = readable && f.err == nil
		if !readable {
			return
		}
		to := rewrite(f.addr)
		want = append(want, to)
		if to == f.addr {
			return
		}
		b.WriteString(value[copied:f.start])
		respell(&b, value[f.start:f.end], f.addr, to)
		copied = f.end
	})
	if !readable || copied == 0 {
		return value
	}
	b.WriteString(value[copied:])
	after := b.String()
	if got, bad := ParseHeader(after); len(bad) > 0 || !slices.Equal(got, want) {
		return value
	}
	return after
}

// respell writes the text of an address with what differs between from, which it
// means, and to.
func respell(b *strings.Builder, text string, from, to Address) {
	var toks []token
	sc := scanner{s: text}
	for t, ok := sc.next(); ok; t, ok = sc.next() {
		toks = append(toks, t)
	}
	toks = dropRoute(toks)
	local, domain := toks, []token(nil)
	if i := lastAt(toks); i >= 0 {
		local, domain = trim(toks[:i]), trim(toks[i+1:])
	}
	end := local[len(local)-1].end
	if to.Local == from.Local {
		b.WriteString(text[local[0].start:end])
	} else {
		b.WriteString(quoteLocal(to.Local))
	}
	switch {
	case to.Domain == from.Domain:
	case len(domain) == 0:
		b.WriteString("@" + to.Domain)
	default:
		b.WriteString(text[end:domain[0].start] + to.Domain)
		end = domain[len(domain)-1].end
	}
	b.WriteString(text[end:])
}
