package message

import (
	"fmt"
	"math/rand/v2"
	"mime"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/address"
)

// mailerDaemon stands for the mail system where a message needs an author and its
// sender is null.
const mailerDaemon = "MAILER-DAEMON"

// maxName bounds the full name, so that the From line stays within MaxLine.
const maxName = 384

// FormatDate gives t as header fields have it (RFC 5322 §3.3), in t's own zone.
func FormatDate(t time.Time) string { return t.Format("Mon, 02 Jan 2006 15:04:05 -0700") }

// NewMessageID makes a unique identifier with its brackets.
func NewMessageID(t time.Time, hostname string) string {
	host := oneToken(hostname)
	if host == "" {
		host = "localhost"
	}
	return "<" + t.UTC().Format("20060102150405") + fmt.Sprintf(".%016x@", rand.Uint64()) + host + ">"
}

// FullName takes the author's name from the GECOS field of the login's passwd
// entry: what stands before the first comma, with & for the login capitalised.
func FullName(gecos, login string) string {
	name, _, _ := strings.Cut(gecos, ",")
	if login != "" {
		name = strings.ReplaceAll(name, "&", strings.ToUpper(login[:1])+login[1:])
	}
	return strings.TrimSpace(name)
}

// addMissing appends Message-ID, Date and From, or their Resent- forms in a
// message with a resent block.
func (h *headerScan) addMissing() {
	prefix, has := "", h.has
	if h.facts.Resent {
		prefix, has = "Resent-", h.hasResent
	}
	now := h.opt.Date
	if now.IsZero() {
		now = time.Now()
	}
	if !has.messageID {
		id := oneLine(h.opt.MessageID)
		if id == "" {
			id = NewMessageID(now, h.opt.Hostname)
		}
		h.append(prefix+"Message-ID", id)
		if prefix == "" {
			h.facts.MessageID = id
		} else {
			h.resentMessageID = id
		}
	}
	if !has.date {
		h.append(prefix+"Date", FormatDate(now))
	}
	if has.from || prefix == "" && !h.opt.ForceFrom.IsNull() {
		return
	}
	from := h.opt.From.Qualify(h.opt.Origin)
	if from.IsNull() {
		from = address.Address{Local: mailerDaemon, Domain: h.opt.Origin}
	}
	h.addFrom(prefix+"From", from)
}

// addFrom appends a From or Resent-From field.
func (h *headerScan) addFrom(name string, from address.Address) {
	h.append(name, mailbox(h.opt.FullName, from))
	if name == "From" {
		h.facts.From = []address.Address{from}
	}
	h.facts.Senders = append(h.facts.Senders, from)
}

func (h *headerScan) append(name, value string) {
	h.out = append(h.out, name+": "+value+"\n"...)
}

// mailbox writes an address with the full name before it, if there is one.
func mailbox(name string, a address.Address) string {
	name = oneLine(name)
	if len(name) > maxName {
		cut := maxName
		for cut > maxName-utf8.UTFMax && !utf8.RuneStart(name[cut]) {
			cut--
		}
		name = strings.TrimSpace(name[:cut])
	}
	if name == "" {
		return oneLine(a.String())
	}
	return phrase(name) + " <" + oneLine(a.String()) + ">"
}

// phrase writes a display name: bare if every word is an atom or encoded already,
// with one blank between words, and quoted otherwise. What is not ASCII goes in
// encoded words (RFC 2047), so that no host on the way needs SMTPUTF8 for a name.
func phrase(name string) string {
	if hasEightBit([]byte(name)) {
		// Base64, because Go's Q encoding leaves commas and brackets bare.
		return mime.BEncoding.Encode("utf-8", name)
	}
	if strings.IndexFunc(name, notPhrase) < 0 {
		return strings.Join(strings.Fields(name), " ")
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

func notPhrase(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune(" !#$%&'*+-/=?^_`{|}~", r)
}

// oneLine makes control characters blanks: whatever comes in, no header field
// starts in the middle of a value. Bytes that are not UTF-8 are taken for Latin-1.
func oneLine(s string) string {
	if !utf8.ValidString(s) {
		runes := make([]rune, len(s))
		for i := range len(s) {
			runes[i] = rune(s[i])
		}
		s = string(runes)
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s))
}

// oneToken keeps of s what can stand in a trace field without quoting.
func oneToken(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._:[]", r):
			return r
		}
		return '?'
	}, s)
}
