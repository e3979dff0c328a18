package message

import (
	"errors"

	"postrider/internal/address"
)

const (
	// maxSenderField is the longest field whose senders are read, and maxSenders how
	// many of one message are kept: nobody's mail has more, and they are in memory
	// as long as the client takes to send the rest.
	maxSenderField = 64 << 10
	maxSenders     = 100
	// maxShown is how much of a field is told to people.
	maxShown = 200
)

var (
	errManySenders = errors.New("has more senders than are looked at")
	errAmbiguous   = errors.New("has an @ outside addresses, which others may read as one")
)

// isSender tells the fields that say who a message is from, or who sent it again
// (RFC 5322 §3.6.2, §3.6.6).
func isSender(name string) bool {
	switch name {
	case "from", "sender", "resent-from", "resent-sender":
		return true
	}
	return false
}

// noteSender remembers who such a field says the message is from.
func (h *headerScan) noteSender(name string, value []byte) {
	switch name {
	case "from":
		h.has.from = true
	case "resent-from":
		h.hasResent.from = true
	}
	if len(value) > maxSenderField || len(h.facts.Senders)+len(h.facts.BadSenders) >= maxSenders {
		h.tooManySenders(name)
		return
	}
	good, bad := h.parse(value)
	if len(good)+len(bad) > maxSenders {
		h.tooManySenders(name)
		return
	}
	if isAmbiguous(value) {
		text := unfold(value)
		bad = append(bad, address.BadAddress{Text: text[:min(len(text), maxShown)], Err: errAmbiguous})
	}
	h.facts.Senders = append(h.facts.Senders, good...)
	h.facts.BadSenders = append(h.facts.BadSenders, bad...)
	if name == "from" {
		h.facts.From = append(h.facts.From, good...)
	}
}

// tooManySenders notes that the field was not read: nobody can say that all in it
// are allowed.
func (h *headerScan) tooManySenders(field string) {
	if len(h.facts.BadSenders) <= maxSenders {
		h.facts.BadSenders = append(h.facts.BadSenders, address.BadAddress{Text: field, Err: errManySenders})
	}
}

// forceFrom gives the From field the address it has to have. The name before it
// stays; what is not exactly one mailbox gives way altogether.
func (h *headerScan) forceFrom(value []byte) []byte {
	forced := h.opt.ForceFrom
	if len(value) > maxSenderField {
		return []byte(" " + forced.String() + "\n")
	}
	text := address.RewriteHeader(string(value), func(address.Address) address.Address { return forced })
	good, bad := address.ParseHeader(text)
	if len(good) != 1 || len(bad) > 0 || good[0] != forced || isAmbiguous(value) {
		text = " " + forced.String() + "\n"
	}
	return []byte(text)
}

// isAmbiguous reports whether the value of an address field has more at signs outside
// quotes and comments than addresses with a domain. "a@b <c@d>" and "a@b@d" read as
// one sender here, and as another where somebody guesses differently.
func isAmbiguous(value []byte) bool {
	good, _ := address.ParseHeader(unfold(value))
	n := 0
	for _, a := range good {
		if a.Domain != "" {
			n++
		}
	}
	return unquoted('@', value) > n
}

// unquoted counts a character outside quoted strings and comments (RFC 5322 §3.2.2,
// §3.2.4).
func unquoted(char byte, value []byte) int {
	n, depth, quoted := 0, 0, false
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\':
			i++
		case c == '"' && depth == 0:
			quoted = !quoted
		case quoted:
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == char && depth == 0:
			n++
		}
	}
	return n
}
