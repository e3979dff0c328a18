package local

import "strings"

// split parts a command line into words as sh does. It is simple if no shell is
// needed for that: whatever has a meaning to a shell is quoted. Characters in also
// are taken for plain ones.
func split(line, also string) (words []string, simple bool) {
	s := splitter{rest: line, also: also}
	for s.skipBlanks() {
		word, ok := s.word()
		if !ok {
			return nil, false
		}
		words = append(words, word)
	}
	return words, len(words) > 0
}

type splitter struct{ rest, also string }

func (s *splitter) skipBlanks() (more bool) {
	s.rest = strings.TrimLeft(s.rest, " \t")
	return s.rest != ""
}

// word takes one word, with the quotes removed.
func (s *splitter) word() (string, bool) {
	var w strings.Builder
	for s.rest != "" && s.rest[0] != ' ' && s.rest[0] != '\t' {
		c := s.rest[0]
		s.rest = s.rest[1:]
		ok := true
		switch {
		case c == '\'':
			ok = s.single(&w)
		case c == '"':
			ok = s.double(&w)
		case c == '\\':
			ok = s.escaped(&w)
		case plain(c) || strings.IndexByte(s.also, c) >= 0:
			w.WriteByte(c)
		default:
			ok = false
		}
		if !ok {
			return "", false
		}
	}
	return w.String(), true
}

// single takes what is left of '...', where nothing has a meaning.
func (s *splitter) single(w *strings.Builder) bool {
	text, rest, closed := strings.Cut(s.rest, "'")
	w.WriteString(text)
	s.rest = rest
	return closed && strings.IndexByte(text, 0) < 0
}

// double takes what is left of "...", where $ and ` have theirs, and a backslash
// before them, before itself and the quote.
func (s *splitter) double(w *strings.Builder) bool {
	for s.rest != "" {
		c := s.rest[0]
		s.rest = s.rest[1:]
		switch {
		case c == '"':
			return true
		case c == '$' || c == '`' || c == 0:
			return false
		case c == '\\' && s.rest != "" && strings.IndexByte("$`\"\\\n", s.rest[0]) >= 0:
			if s.rest[0] != '\n' {
				w.WriteByte(s.rest[0])
			}
			s.rest = s.rest[1:]
		default:
			w.WriteByte(c)
		}
	}
	return false
}

// escaped takes the character after a backslash outside of quotes.
func (s *splitter) escaped(w *strings.Builder) bool {
	if s.rest == "" || s.rest[0] == '\n' || s.rest[0] == 0 {
		return false
	}
	w.WriteByte(s.rest[0])
	s.rest = s.rest[1:]
	return true
}

// plain are the characters that no shell acts upon, the set of Postfix's
// command_expansion_filter.
func plain(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.IndexByte("!@%-_=+:,./", c) >= 0
}

// harmless puts "_" where a character is not plain.
func harmless(s string) string {
	b := []byte(s)
	for i, c := range b {
		if !plain(c) {
			b[i] = '_'
		}
	}
	return string(b)
}
