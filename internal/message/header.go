package message

import (
	"bytes"
	"strings"

	"postrider/internal/address"
)

// Header tells what was found in a header.
type Header struct {
	// Recipients of the To, Cc and Bcc fields, or of their Resent- forms if there
	// is one, in order and with duplicates; completed with Options.Origin. Only
	// with Options.ExtractRecipients.
	Recipients []address.Address
	// BadRecipients are parts of those fields that are no addresses.
	BadRecipients []address.BadAddress
	// From holds the addresses of the From field as queued, completed with
	// Options.Origin; those that cannot be read are left out.
	From []address.Address
	// Senders holds the addresses of the fields From, Sender, Resent-From and
	// Resent-Sender as queued, completed with Options.Origin, and BadSenders what in
	// them cannot be read.
	Senders    []address.Address
	BadSenders []address.BadAddress
	// MessageID is the Message-ID, else the Resent-Message-ID, with its brackets as
	// written; empty if there is neither.
	MessageID string
	// Received counts the Received fields: how many hosts the message has passed.
	Received int
	// DeliveredTo holds the values of the Delivered-To fields.
	DeliveredTo []string
	// Resent says that the message has a resent block.
	Resent bool
	// Automatic says that the message was not written by a person to persons: it
	// is marked as generated, bulk or list mail (RFC 3834 §2), and its sender does
	// not want to hear of delays.
	Automatic bool
	// TLSOptional says that the sender puts delivery above encryption
	// (RFC 8689 §5).
	TLSOptional bool
	// EightBit says that the header has non-ASCII.
	EightBit bool
}

// headerScan takes a header line by line and composes the fixed one.
type headerScan struct {
	opt   Options
	facts Header
	field []byte // the field being collected, folds included
	out   []byte
	// Which fields are there: plain ones and those of a resent block.
	has, hasResent fieldSet
	// Recipients of both kinds, until it is known which count.
	plain, again    recipients
	resentMessageID string
}

// fieldSet has one mark for each field that is added when absent.
type fieldSet struct{ date, messageID, from bool }

type recipients struct {
	fields bool
	good   []address.Address
	bad    []address.BadAddress
}

func newHeaderScan(o Options) *headerScan { return &headerScan{opt: o} }

// add takes a line with its end. It reports false, and has not taken the line,
// if the header ends before it.
func (h *headerScan) add(line []byte) bool {
	if len(line) == 0 || line[0] == '\n' {
		return len(line) == 0
	}
	// A NUL hides neither the name of a field nor the blank of a continuation.
	text := line
	if bytes.IndexByte(line, 0) >= 0 {
		text = clean(bytes.Clone(line))
	}
	if isBlank(text[0]) && len(h.field) > 0 {
		h.field = append(h.field, text...)
		return true
	}
	if _, _, ok := splitName(text); !ok {
		return len(h.field) == 0 && isPostmark(text)
	}
	h.flush()
	h.field = append(h.field, text...)
	return true
}

// flush ends the current field.
func (h *headerScan) flush() {
	if len(h.field) == 0 {
		return
	}
	field := clean(h.field)
	if field[len(field)-1] != '\n' { // cut at MaxHeader
		field = append(field, '\n')
	}
	n, colon, _ := splitName(field)
	name := strings.ToLower(string(field[:n]))
	kind := kindOf(name)
	value := field[colon+1:]
	if name == "from" && !h.opt.ForceFrom.IsNull() {
		value = h.forceFrom(value)
	}
	if kind&dropped == 0 {
		h.emit(field[:n], field[n:colon], value, kind)
	}
	if kind&resent != 0 {
		h.facts.Resent = true
	}
	if kind&recipient != 0 && h.opt.ExtractRecipients {
		h.collect(value, kind)
	}
	h.note(name, value)
	h.field = h.field[:0]
}

// emit writes the field, its addresses completed; a field that needs nothing
// stays byte for byte.
func (h *headerScan) emit(name, blanks, value []byte, kind fieldKind) {
	h.out = append(h.out, name...)
	if !h.opt.Fixup {
		h.out = append(h.out, blanks...)
	}
	h.out = append(h.out, ':')
	if h.opt.Fixup && kind&addresses != 0 {
		h.out = append(h.out, address.CompleteHeader(string(value), h.opt.Origin)...)
		return
	}
	h.out = append(h.out, value...)
}

func (h *headerScan) collect(value []byte, kind fieldKind) {
	to := &h.plain
	if kind&resent != 0 {
		to = &h.again
	}
	good, bad := h.parse(value)
	to.fields = true
	to.good = append(to.good, good...)
	to.bad = append(to.bad, bad...)
}

func (h *headerScan) parse(value []byte) ([]address.Address, []address.BadAddress) {
	good, bad := address.ParseHeader(unfold(value))
	for i := range good {
		good[i] = good[i].Qualify(h.opt.Origin)
	}
	return good, bad
}

// note remembers what the envelope, or the decision what to add, needs.
func (h *headerScan) note(name string, value []byte) {
	if isSender(name) {
		h.noteSender(name, value)
		return
	}
	switch name {
	case "date":
		h.has.date = true
	case "resent-date":
		h.hasResent.date = true
	case "message-id":
		if !h.has.messageID {
			h.facts.MessageID = unfold(value)
		}
		h.has.messageID = true
	case "resent-message-id":
		if !h.hasResent.messageID {
			h.resentMessageID = unfold(value)
		}
		h.hasResent.messageID = true
	case "received":
		h.facts.Received++
	case "delivered-to":
		h.facts.DeliveredTo = append(h.facts.DeliveredTo, unfold(value))
	case "tls-required":
		h.facts.TLSOptional = strings.EqualFold(unfold(value), "no")
	default:
		h.facts.Automatic = h.facts.Automatic || isAutomatic(name, value)
	}
}

func isAutomatic(name string, value []byte) bool {
	switch name {
	case "list-id", "list-post":
		return true
	case "auto-submitted":
		keyword, _, _ := strings.Cut(unfold(value), ";")
		keyword, _, _ = strings.Cut(keyword, "(")
		return !strings.EqualFold(strings.TrimSpace(keyword), "no")
	case "precedence":
		v := strings.ToLower(unfold(value))
		return v == "bulk" || v == "list" || v == "junk"
	}
	return false
}

// finish ends the header: adds what is missing, and the blank line.
func (h *headerScan) finish() []byte {
	h.flush()
	if h.opt.Fixup {
		h.addMissing()
	}
	if from := h.opt.ForceFrom; !h.has.from && !from.IsNull() {
		h.addFrom("From", from)
	}
	if h.facts.MessageID == "" {
		h.facts.MessageID = h.resentMessageID
	}
	from := h.plain
	if h.again.fields {
		from = h.again
	}
	h.facts.Recipients, h.facts.BadRecipients = from.good, from.bad
	h.facts.EightBit = hasEightBit(h.out)
	return append(h.out, '\n')
}
