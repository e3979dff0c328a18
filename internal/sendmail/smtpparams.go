package sendmail

import (
	"fmt"
	"strconv"
	"strings"

	"postrider/internal/address"
	"postrider/queue"
)

// maxEnvID is the longest envelope id (RFC 3461 §4.4).
const maxEnvID = 100

// parameter is one ESMTP parameter (RFC 5321 §4.1.1.11), its key in upper case.
type parameter struct{ key, value string }

// mail begins a transaction.
func (d *dialogue) mail(rest string) {
	if d.tx != nil {
		d.reply(503, "5.5.1 Sender already given")
		return
	}
	path, params, ok := parsePath(rest, "FROM:")
	if !ok {
		d.reply(501, "5.5.4 Syntax: MAIL FROM:<address>")
		return
	}
	sender, err := address.ParsePath(path)
	if err != nil {
		d.reply(553, "5.1.7 "+err.Error())
		return
	}
	tx := &transaction{sender: sender.Qualify(d.cfg.Origin)}
	tx.envelope.SMTPUTF8 = !sender.IsASCII()
	for _, p := range params {
		if refusal := tx.mailParameter(p, int64(d.cfg.Submission.MaxMessageSize)); refusal != nil {
			d.reply(refusal.code, refusal.text)
			return
		}
	}
	d.tx = tx
	d.reply(250, "2.1.0 Ok")
}

// rcpt adds a recipient.
func (d *dialogue) rcpt(rest string) {
	if d.tx == nil {
		d.reply(503, "5.5.1 Sender not given")
		return
	}
	path, params, ok := parsePath(rest, "TO:")
	if !ok || path == "" {
		d.reply(501, "5.5.4 Syntax: RCPT TO:<address>")
		return
	}
	to, err := address.ParsePath(path)
	if err != nil {
		d.reply(553, "5.1.3 "+err.Error())
		return
	}
	r := queue.Recipient{Address: to.Qualify(d.cfg.Origin)}
	for _, p := range params {
		if refusal := recipientParameter(&r, p); refusal != nil {
			d.reply(refusal.code, refusal.text)
			return
		}
	}
	d.tx.envelope.SMTPUTF8 = d.tx.envelope.SMTPUTF8 || !to.IsASCII()
	d.tx.recipients = append(d.tx.recipients, r)
	d.reply(250, "2.1.5 Ok")
}

// parsePath parts "FROM:<path> KEY=VALUE ..." after its verb. Brackets may be
// missing.
func parsePath(s, keyword string) (path string, params []parameter, ok bool) {
	if len(s) < len(keyword) || !strings.EqualFold(s[:len(keyword)], keyword) {
		return "", nil, false
	}
	path, rest := address.CutPath(strings.TrimLeft(s[len(keyword):], " \t"))
	inner, bracketed := strings.CutPrefix(path, "<")
	inner, closed := strings.CutSuffix(inner, ">")
	if path == "" || bracketed != closed {
		return "", nil, false
	}
	for field := range strings.FieldsSeq(rest) {
		key, value, _ := strings.Cut(field, "=")
		params = append(params, parameter{strings.ToUpper(key), value})
	}
	return inner, params, true
}

// mailParameter notes a parameter of MAIL, or says why not.
func (tx *transaction) mailParameter(p parameter, limit int64) *reply {
	e := &tx.envelope
	value := strings.ToUpper(p.value)
	switch p.key {
	case "SIZE": // RFC 1870 §6
		n, err := strconv.ParseUint(p.value, 10, 64)
		if err == nil && limit > 0 && n > uint64(limit) {
			return &reply{552, fmt.Sprintf("5.3.4 Message is larger than the limit of %d bytes", limit)}
		}
		if err == nil {
			return nil
		}
	case "BODY": // RFC 6152 §2
		if value == "8BITMIME" {
			e.Body = queue.Body8BitMIME
		}
		if value == "8BITMIME" || value == "7BIT" {
			return nil
		}
	case "SMTPUTF8": // RFC 6531 §3.4
		e.SMTPUTF8 = true
		return nil
	case "AUTH": // RFC 4954 §5: whoever vouches for the sender
		return nil
	case "RET": // RFC 3461 §4.3
		e.Ret = queue.Ret(value)
		if e.Ret == queue.RetFull || e.Ret == queue.RetHeaders {
			return nil
		}
	case "ENVID":
		id, ok := decodeXtext(p.value)
		e.EnvID = id
		if ok && isEnvID(id) {
			return nil
		}
	default:
		return &reply{555, "5.5.4 Parameter " + p.key + " is not known"}
	}
	return wrongValue(p)
}

// recipientParameter notes a parameter of RCPT, or says why not.
func recipientParameter(r *queue.Recipient, p parameter) *reply {
	var ok bool
	switch p.key {
	case "NOTIFY": // RFC 3461 §4.1
		r.Notify, ok = parseNotify(p.value)
	case "ORCPT": // RFC 3461 §4.2
		kind, text, _ := strings.Cut(p.value, ";")
		text, ok = decodeXtext(text)
		ok = ok && kind != "" && text != "" && isPrintable(text)
		r.Original = strings.ToLower(kind) + ";" + text
	default:
		return &reply{555, "5.5.4 Parameter " + p.key + " is not known"}
	}
	if !ok {
		return wrongValue(p)
	}
	return nil
}

func wrongValue(p parameter) *reply { return &reply{501, "5.5.4 Wrong value of parameter " + p.key} }

// isEnvID tells whether text can be an envelope id.
func isEnvID(text string) bool { return len(text) <= maxEnvID && isPrintable(text) }

func isPrintable(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}
