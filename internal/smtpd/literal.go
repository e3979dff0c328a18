package smtpd

import "strings"

// parseSubmitLiteral reads the name by which our own sendmail program greets on
// the submission socket: a general address literal (RFC 5321 §4.1.3)
// "[submit:ID]", or "[submit:ID;raw]" for messages that are to be left as they
// are. The ID is 8 to 64 letters and digits that the program chose, so that a
// message it hands in once more after a lost reply is not taken twice. Either way
// the message needs no fix-up: the program made it, or its user asked for none.
func parseSubmitLiteral(hello string) (id string, ok bool) {
	id, ok = strings.CutPrefix(hello, "[submit:")
	if !ok {
		return "", false
	}
	id, ok = strings.CutSuffix(id, "]")
	if !ok {
		return "", false
	}
	id = strings.TrimSuffix(id, ";raw")
	if len(id) < 8 || len(id) > 64 || strings.IndexFunc(id, notAlphanumeric) >= 0 {
		return "", false
	}
	return id, true
}

func notAlphanumeric(r rune) bool {
	return !(r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z')
}
