package boltstore

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"postrider/queue"
)

// scanned bounds how many rows are passed over in one transaction.
const scanned = 16 * window

// written are messages that have the domain written in a row, in order; all where
// it is empty. There is no index of recipients, but to look for the text is many
// times faster than to decode the row.
func (v *view) written(domain string, after queue.ID, most int) (ids []queue.ID, last queue.ID) {
	needle := newDomainText(domain)
	c := v.bucket(messageBucket).Cursor()
	seen := 0
	for k, row := c.Seek(idKey(after + 1)); k != nil; k, row = c.Next() {
		seen++
		if needle.in(row) {
			ids = append(ids, idIn(k))
		}
		if len(ids) == most || seen == scanned {
			return ids, idIn(k)
		}
	}
	return ids, 0
}

// rcptDomain is a domain that a recipient of every match has; empty if the filter
// does not tell.
func rcptDomain(f queue.Filter) string {
	if f.Domain != "" {
		return f.Domain
	}
	if f.Recipient != "" {
		return senderDomain(f.Recipient)
	}
	return ""
}

// domainText finds an address.Address with a domain in an encoded row: the key 2,
// the head of a text string of that length (RFC 8949 §3.1), and the text in upper
// or lower case. What it finds may be something else. It misses domains written
// with the Kelvin sign or the long s for a k or s, which no host name has.
type domainText struct {
	head []byte
	text string
}

// newDomainText gives one that finds everything for a domain of which equal forms
// may have other lengths.
func newDomainText(domain string) domainText {
	const key, text, oneByte = 2, 0x60, 0x78
	n := len(domain)
	if n == 0 || n > 255 || strings.IndexFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) >= 0 {
		return domainText{}
	}
	if n < 24 {
		return domainText{[]byte{key, text + byte(n)}, domain}
	}
	return domainText{[]byte{key, oneByte, byte(n)}, domain}
}

func (d domainText) in(row []byte) bool {
	if d.text == "" {
		return true
	}
	for {
		at := bytes.Index(row, d.head)
		if at < 0 {
			return false
		}
		row = row[at+1:]
		if rest := row[len(d.head)-1:]; len(rest) >= len(d.text) && foldASCII(rest[:len(d.text)], d.text) {
			return true
		}
	}
}

// foldASCII compares bytes of equal number without regard to the case of letters.
func foldASCII(b []byte, s string) bool {
	for i := range b {
		if b[i] != s[i] && lower(b[i]) != lower(s[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
