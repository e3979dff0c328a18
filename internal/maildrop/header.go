package maildrop

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/queue"
)

// Header is the envelope of a dropped message. It does not say who dropped it:
// that the reader learns from the file itself.
type Header struct {
	// SID is the submission id: the same message under the same id, from the same
	// user, is stored once.
	SID string
	// Raw says that the header is to be left as it is (sendmail -G).
	Raw        bool
	Sender     address.Address
	Recipients []queue.Recipient
	EnvID      string
	Ret        queue.Ret
	Body       queue.Body
	SMTPUTF8   bool
}

// maxHeader bounds the envelope in a drop file, in bytes: some 100,000 recipients.
const maxHeader = 8 << 20

// errHeader is wrapped by every complaint about the envelope.
var errHeader = errors.New("bad envelope")

// marshal writes one "key value" line for each property; strings are quoted as in
// Go, so that any byte survives. Lines "notify" and "orcpt" belong to the
// recipient above them.
func (h *Header) marshal() []byte {
	var b bytes.Buffer
	line := func(key string, values ...string) {
		b.WriteString(key)
		for _, v := range values {
			b.WriteByte(' ')
			b.WriteString(strconv.Quote(v))
		}
		b.WriteByte('\n')
	}
	line("sid", h.SID)
	line("from", h.Sender.Local, h.Sender.Domain)
	line("envid", h.EnvID)
	line("ret", string(h.Ret))
	line("body", strconv.Itoa(int(h.Body)))
	line("smtputf8", strconv.FormatBool(h.SMTPUTF8))
	line("raw", strconv.FormatBool(h.Raw))
	for _, r := range h.Recipients {
		line("to", r.Address.Local, r.Address.Domain)
		if r.Notify != 0 {
			line("notify", strconv.Itoa(int(r.Notify)))
		}
		if r.Original != "" {
			line("orcpt", r.Original)
		}
	}
	return b.Bytes()
}

// unmarshal reads what marshal wrote. Unknown keys are refused: a newer format
// has another version number.
func (h *Header) unmarshal(text []byte) error {
	for line := range strings.Lines(string(text)) {
		key, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		values, err := unquote(rest)
		if err == nil {
			err = h.set(key, values)
		}
		if err != nil {
			return fmt.Errorf("%w: line %.80q: %w", errHeader, line, err)
		}
	}
	if len(h.Recipients) == 0 {
		return fmt.Errorf("%w: no recipients", errHeader)
	}
	return nil
}

func unquote(text string) ([]string, error) {
	var values []string
	for text != "" {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return nil, err
		}
		value, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
		text = strings.TrimPrefix(text[len(quoted):], " ")
	}
	return values, nil
}

var errValue = errors.New("wrong value")

func (h *Header) set(key string, v []string) (err error) {
	if key == "from" || key == "to" {
		if len(v) != 2 {
			return errValue
		}
		return h.setAddress(key, address.Address{Local: v[0], Domain: v[1]})
	}
	if len(v) != 1 {
		return errValue
	}
	switch key {
	case "sid":
		h.SID = v[0]
	case "envid":
		h.EnvID = v[0]
	case "ret":
		return h.setRet(queue.Ret(v[0]))
	case "body":
		return h.setBody(v[0])
	case "smtputf8":
		h.SMTPUTF8, err = strconv.ParseBool(v[0])
	case "raw":
		h.Raw, err = strconv.ParseBool(v[0])
	case "notify", "orcpt":
		return h.setRecipient(key, v[0])
	default:
		err = errors.New("unknown key")
	}
	return err
}

func (h *Header) setAddress(key string, a address.Address) error {
	if key == "from" {
		h.Sender = a
		return nil
	}
	if a.IsNull() {
		return errValue
	}
	h.Recipients = append(h.Recipients, queue.Recipient{Address: a})
	return nil
}

func (h *Header) setRet(ret queue.Ret) error {
	switch ret {
	case queue.RetDefault, queue.RetFull, queue.RetHeaders:
		h.Ret = ret
		return nil
	}
	return errValue
}

func (h *Header) setBody(text string) error {
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || queue.Body(n) > queue.BodyBinaryMIME {
		return errValue
	}
	h.Body = queue.Body(n)
	return nil
}

func (h *Header) setRecipient(key, text string) error {
	if len(h.Recipients) == 0 {
		return errors.New("before any recipient")
	}
	last := &h.Recipients[len(h.Recipients)-1]
	if key == "orcpt" {
		last.Original = text
		return nil
	}
	const all = queue.NotifyNever | queue.NotifySuccess | queue.NotifyFailure | queue.NotifyDelay
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || queue.Notify(n)&^all != 0 {
		return errValue
	}
	last.Notify = queue.Notify(n)
	return nil
}
