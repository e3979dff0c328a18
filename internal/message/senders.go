package message

import "postrider/internal/address"

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
	good, bad := h.parse(value)
	h.facts.Senders = append(h.facts.Senders, good...)
	h.facts.BadSenders = append(h.facts.BadSenders, bad...)
	switch name {
	case "from":
		h.has.from = true
		h.facts.From = append(h.facts.From, good...)
	case "resent-from":
		h.hasResent.from = true
	}
}

// forceFrom gives the From field the address it has to have. The name before it
// stays; what is not exactly one mailbox gives way altogether.
func (h *headerScan) forceFrom(value []byte) []byte {
	forced := h.opt.ForceFrom
	text := address.RewriteHeader(string(value), func(address.Address) address.Address { return forced })
	good, bad := address.ParseHeader(text)
	if len(good) != 1 || len(bad) > 0 || good[0] != forced {
		text = " " + forced.String() + "\n"
	}
	return []byte(text)
}
