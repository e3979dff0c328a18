package boltstore

import (
	"hash/fnv"
	"strings"
	"unicode"
	"unicode/utf8"

	"postrider/queue"
)

// senderHash is Lease.Sender: equal for the same reverse-path and uid.
func senderHash(m *queue.Message) uint32 {
	h := fnv.New32a()
	from := m.Envelope.ReversePath
	uid := uint64(m.Origin.UID)
	_, _ = h.Write([]byte(from.Local))
	_, _ = h.Write([]byte{0})
	_, _ = h.Write([]byte(fold(from.Domain)))
	_, _ = h.Write([]byte{byte(uid), byte(uid >> 8), byte(uid >> 16), byte(uid >> 24)})
	// FNV's upper bits change little with the last bytes; lanes are taken from there.
	v := h.Sum32()
	v ^= v >> 15
	v *= 0x2c1b3c6d
	return v ^ v>>13
}

// domainHash is where the sender index keeps a reverse-path with the domain.
func domainHash(domain string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(fold(domain)))
	return h.Sum64()
}

// fold maps strings that strings.EqualFold takes for equal to the same string.
func fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= utf8.RuneSelf || c >= 'A' && c <= 'Z' {
			return foldRunes(s)
		}
	}
	return s
}

func foldRunes(s string) string {
	out := make([]rune, 0, len(s))
	for _, r := range s {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		// Lower case where there is one, as in strings that need no folding.
		if least >= 'A' && least <= 'Z' {
			least += 'a' - 'A'
		}
		out = append(out, least)
	}
	return string(out)
}

// senderDomain is the domain of a Filter.Sender: "<>", "@domain" or an address. An
// address may lack one.
func senderDomain(sender string) string {
	at := strings.LastIndexByte(sender, '@')
	if at < 0 || strings.HasSuffix(sender, `"`) {
		return ""
	}
	return sender[at+1:]
}
