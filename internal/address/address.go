// Package address parses mailboxes, paths and address lists once, at the edge,
// into a value that the rest of postrider passes around.
package address

import "strings"

// Address is a mailbox: local part and domain. The zero Address is the null
// reverse-path. Values are comparable; Equal compares as mail does.
type Address struct {
	// Local part with quoting removed: `a b`, not `"a b"`.
	Local string `cbor:"1,keyasint" json:"local"`
	// Domain as written, without a final dot; a literal keeps its brackets.
	// Empty only in an address not yet completed.
	Domain string `cbor:"2,keyasint" json:"domain"`
}

// IsNull reports whether a is the null reverse-path.
func (a Address) IsNull() bool { return a == Address{} }

// Equal compares domains without case and local parts exactly.
func (a Address) Equal(b Address) bool {
	return a.Local == b.Local && strings.EqualFold(a.Domain, b.Domain)
}

// String gives the address as it is written in SMTP and header fields, the local
// part quoted where it must be; empty for the null reverse-path.
func (a Address) String() string {
	if a.Domain == "" {
		return quoteLocal(a.Local)
	}
	return quoteLocal(a.Local) + "@" + a.Domain
}

// quoteLocal quotes a local part that is not a dot-string (RFC 5321 §4.1.2).
func quoteLocal(local string) string {
	if isDotString(local) || local == "" {
		return local
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(local) {
		if c := local[i]; c == '"' || c == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteByte('"')
	return b.String()
}

func isDotString(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" || strings.IndexFunc(atom, func(r rune) bool { return !isAtext(r) }) >= 0 {
			return false
		}
	}
	return true
}

// isAtext follows RFC 5322 §3.2.3 with the UTF-8 of RFC 6532 §3.2.
func isAtext(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r >= 0x80:
		return true
	}
	return strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}
