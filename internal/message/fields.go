package message

import "bytes"

// fieldKind says what is done with a header field.
type fieldKind uint8

const (
	// dropped fields never leave this host: they disclose hidden recipients, or
	// are for the final delivery to write.
	dropped fieldKind = 1 << iota
	// addresses in the field are completed.
	addresses
	// recipient fields name who gets the message with -t,
	recipient
	// and resent ones belong to a resent block (RFC 5322 §3.6.6).
	resent
)

// kindOf takes the name of a field in lower case.
func kindOf(name string) fieldKind {
	switch name {
	case "to", "cc":
		return addresses | recipient
	case "bcc":
		return dropped | recipient
	case "resent-to", "resent-cc":
		return addresses | recipient | resent
	case "resent-bcc":
		return dropped | recipient | resent
	case "return-path", "content-length":
		return dropped
	case "from", "sender", "reply-to", "errors-to", "disposition-notification-to", "mail-followup-to", "return-receipt-to":
		return addresses
	case "resent-from", "resent-sender", "resent-reply-to":
		return addresses | resent
	case "resent-date", "resent-message-id":
		return resent
	}
	return 0
}

// splitName finds the colon of a field's first line and where its name ends;
// blanks may part the two (RFC 5322 §4.5). It reports false for any other line.
func splitName(line []byte) (name, colon int, ok bool) {
	for name < len(line) && line[name] > ' ' && line[name] < 0x7f && line[name] != ':' {
		name++
	}
	colon = name
	for colon < len(line) && isBlank(line[colon]) {
		colon++
	}
	return name, colon, name > 0 && colon < len(line) && line[colon] == ':'
}

// isPostmark recognises the line that begins a message in a mailbox file, quoted
// however often.
func isPostmark(line []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From "))
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// clean makes the bytes of a header field safe in place: NULs go, and CRs, which
// some software takes for line ends, become blanks.
func clean(field []byte) []byte {
	if bytes.IndexByte(field, 0) >= 0 {
		kept := field[:0]
		for _, c := range field {
			if c != 0 {
				kept = append(kept, c)
			}
		}
		field = kept
	}
	for i, c := range field {
		if c == '\r' {
			field[i] = ' '
		}
	}
	return field
}

// unfold joins the lines of a field's value (RFC 5322 §2.2.3).
func unfold(value []byte) string {
	return string(bytes.TrimSpace(bytes.ReplaceAll(value, []byte("\n"), nil)))
}
