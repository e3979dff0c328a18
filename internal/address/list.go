package address

import "slices"

// found is one address, or a part that is none, met in a list.
type found struct {
	addr Address
	// start and end delimit the text it was read from.
	start, end int
	// localEnd is where a missing domain would be written.
	localEnd int
	// follows says that only blanks part it from an address before it.
	follows bool
	err     error
}

// walker reads a list of mailboxes and groups (RFC 5322 §3.4) member by member.
// It is as forgiving as mail programs have come to expect: semicolons separate,
// blanks between complete addresses do too, empty members do not count.
type walker struct {
	s     string
	visit func(found)
	// member holds the tokens since the last separator.
	member []token
	// inAngle says that a bracket is open, and inRoute that an at followed it.
	inAngle, inRoute bool
	// started says that the member, or what follows its open bracket, has begun
	// with more than blanks; notPhrase, that it can no longer be a group's name.
	started, notPhrase bool
	// plainColon makes colons text: the member starts with one, like ":include:".
	plainColon bool
}

func walk(s string, visit func(found)) {
	w := &walker{s: s, visit: visit}
	sc := scanner{s: s}
	for t, ok := sc.next(); ok; t, ok = sc.next() {
		w.add(t)
	}
	w.finish()
}

func (w *walker) add(t token) {
	switch t.kind {
	case space, comment:
		w.member = append(w.member, t)
		return
	case comma:
		// Commas part the hosts of a route (RFC 5321 §4.1.2, A-d-l).
		if !w.inRoute {
			w.finish()
			return
		}
	case semicolon:
		w.finish()
		return
	case colon:
		switch {
		case w.inAngle || w.plainColon || w.notPhrase:
		case w.started: // the name of a group, forgotten
			w.reset()
			return
		default:
			w.plainColon = true
		}
	}
	if w.inAngle && !w.started {
		w.inRoute = t.kind == at
	}
	w.started = true
	w.notPhrase = w.notPhrase || t.kind != atom && t.kind != quoted
	switch t.kind {
	case open:
		w.inAngle, w.started = true, false
	case closing:
		w.inAngle, w.inRoute = false, false
	}
	w.member = append(w.member, t)
}

func (w *walker) reset() { *w = walker{s: w.s, visit: w.visit, member: w.member[:0]} }

// finish reports the addresses of the member.
func (w *walker) finish() {
	defer w.reset()
	toks := trim(w.member)
	if len(toks) == 0 {
		return
	}
	if err := w.broken(toks); err != nil {
		w.bad(toks, err)
		return
	}
	bracketed := false
	for len(toks) > 0 {
		i := slices.IndexFunc(toks, func(t token) bool { return t.kind == open })
		if i < 0 {
			break
		}
		n := slices.IndexFunc(toks[i:], func(t token) bool { return t.kind == closing })
		w.spec(trim(toks[i+1:i+n]), false)
		bracketed = true
		toks = trim(toks[i+n+1:])
	}
	w.words(toks, bracketed)
}

// broken finds what makes a whole member unreadable.
func (w *walker) broken(toks []token) error {
	depth := 0
	for _, t := range toks {
		switch t.kind {
		case broken:
			if w.s[t.start] == '"' {
				return errQuote
			}
			return errComment
		case open:
			depth++
		case closing:
			depth--
		case colon:
			if depth == 0 && !w.plainColon {
				return errSpecial
			}
		}
		if depth < 0 || depth > 1 {
			return errAngle
		}
	}
	if depth != 0 {
		return errAngle
	}
	return nil
}

// words reads addresses without brackets; blanks and comments part them, except
// around an at or a dot (RFC 5322 §4.4). follows says that an address in brackets
// comes before them.
func (w *walker) words(toks []token, follows bool) {
	for ; len(toks) > 0; follows = true {
		n, inDomain := 0, false
		for n < len(toks) {
			if !isBlank(toks[n]) {
				inDomain = inDomain || toks[n].kind == at
				n++
				continue
			}
			rest := trim(toks[n:])
			if len(rest) == 0 || !w.joined(toks[n-1], rest[0], inDomain) {
				break
			}
			n = len(toks) - len(rest)
		}
		w.spec(toks[:n], follows)
		toks = trim(toks[n:])
	}
}

// joined reports whether two tokens with blanks between them belong to one address.
// A final dot of a domain ends it: what follows is another address.
func (w *walker) joined(a, b token, inDomain bool) bool {
	final := inDomain && a.end-a.start > 1
	return a.kind == at || b.kind == at || b.startsWithDot(w.s) || a.endsWithDot(w.s) && !final
}

// spec reads one address.
func (w *walker) spec(toks []token, follows bool) {
	if len(toks) == 0 {
		return
	}
	addr, localEnd, err := parseSpec(w.s, toks)
	f := found{addr: addr, start: toks[0].start, end: toks[len(toks)-1].end, localEnd: localEnd, follows: follows}
	if err != nil {
		f.err = refuse(w.s[f.start:f.end], err)
	}
	w.visit(f)
}

func (w *walker) bad(toks []token, why error) {
	f := found{start: toks[0].start, end: toks[len(toks)-1].end}
	f.err = refuse(w.s[f.start:f.end], why)
	w.visit(f)
}

func isBlank(t token) bool { return t.kind == space || t.kind == comment }

// trim drops blanks and comments at both ends.
func trim(toks []token) []token {
	for len(toks) > 0 && isBlank(toks[0]) {
		toks = toks[1:]
	}
	for len(toks) > 0 && isBlank(toks[len(toks)-1]) {
		toks = toks[:len(toks)-1]
	}
	return toks
}

func hasKind(toks []token, k kind) bool {
	return slices.ContainsFunc(toks, func(t token) bool { return t.kind == k })
}
