package address

// CutPath parts a path, with or without its angle brackets, from the parameters
// behind it in MAIL and RCPT (RFC 5321 §4.1.2).
func CutPath(s string) (path, rest string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			return s[:i+1], s[i+1:]
		case (c == ' ' || c == '\t') && !quoted:
			return s[:i], s[i:]
		}
	}
	return s, ""
}
