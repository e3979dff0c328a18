package message

import (
	"bytes"
	"iter"
	"mime"
	"strings"
)

const (
	maxNesting  = 64
	maxBoundary = 200 // RFC 2046 §5.1.1 allows 70
)

// multipart is one that the current part is within.
type multipart struct {
	boundary string
	digest   bool // its parts are messages unless they say otherwise
	frozen   bool // its parts are signed as they are
}

// entity is what the header of a part tells of its body.
type entity struct {
	kind        string // media type in lower case
	boundary    string
	encoding    string // transfer encoding in lower case
	typed       bool   // has a Content-Type
	mimeVersion bool
}

// raw reports whether the body is not encoded.
func (e entity) raw() bool {
	return e.encoding == "7bit" || e.encoding == "8bit" || e.encoding == "binary"
}

// decide ends a header: it settles how the body of the part is written, changes
// the header accordingly and writes it.
func (o *outgoing) decide() {
	var around multipart
	if len(o.parts) > 0 {
		around = o.parts[len(o.parts)-1]
	}
	e := readEntity(o.header, around.digest)
	subtype, isMultipart := strings.CutPrefix(e.kind, "multipart/")
	o.mode = asIs
	switch {
	case e.encoding == "quoted-printable":
		o.mode = isQP
	case e.encoding == "base64":
		o.mode = isBase64
	case !e.raw():
	case isMultipart && e.boundary != "" && len(o.parts) < maxNesting:
		frozen := around.frozen || subtype == "signed"
		o.parts = append(o.parts, multipart{e.boundary, subtype == "digest", frozen})
		o.relabel(e, frozen)
	case e.kind == "message/rfc822" || e.kind == "message/global":
		o.relabel(e, around.frozen)
		o.mode = inHeader
	case isMultipart || around.frozen || strings.HasPrefix(e.kind, "message/"):
	case strings.HasPrefix(e.kind, "text/"):
		o.mode = toQP
		o.recode(e, "quoted-printable")
	default:
		o.mode = toBase64
		o.recode(e, "base64")
	}
	o.flushHeader()
	o.out = append(o.out, '\r', '\n')
}

// relabel corrects the encoding that a composite part claims for its parts
// (RFC 2045 §6.4).
func (o *outgoing) relabel(e entity, frozen bool) {
	switch {
	case frozen || e.encoding == "7bit":
	case o.options.SevenBit:
		o.header = setEncoding(o.header, "7bit")
	case e.encoding == "binary":
		o.header = setEncoding(o.header, "8bit")
	}
}

// recode declares the encoding a part gets, and what a message without MIME
// fields needs besides.
func (o *outgoing) recode(e entity, encoding string) {
	if o.top && !e.mimeVersion {
		o.header = append(o.header, "MIME-Version: 1.0\n"...)
	}
	if !e.typed && o.options.Traits.EightBit {
		charset := "utf-8"
		if o.options.Traits.InvalidUTF8 {
			charset = "unknown-8bit" // RFC 1428 §3
		}
		o.header = append(o.header, "Content-Type: text/plain; charset="+charset+"\n"...)
	}
	o.header = setEncoding(o.header, encoding)
}

// boundary writes line if it delimits parts (RFC 2046 §5.1.1).
func (o *outgoing) boundary(line []byte) bool {
	text, ok := bytes.CutPrefix(bytes.TrimRight(line, " \t"), []byte("--"))
	if !ok || len(text) > maxBoundary+2 {
		return false
	}
	for i := len(o.parts) - 1; i >= 0; i-- {
		rest, ok := bytes.CutPrefix(text, []byte(o.parts[i].boundary))
		closing := string(rest) == "--"
		if !ok || len(rest) > 0 && !closing {
			continue
		}
		o.endPart()
		if closing {
			o.parts, o.mode = o.parts[:i], asIs
		} else {
			o.parts, o.mode = o.parts[:i+1], inHeader
		}
		o.out = append(append(o.out, line...), "\r\n"...)
		return true
	}
	return false
}

func (o *outgoing) endPart() {
	switch o.mode {
	case inHeader:
		o.flushHeader()
	case toBase64:
		o.out = o.base64.close(o.out, false)
	}
}

// fields yields the fields of a header with their folds and line ends.
func fields(header []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(header) > 0 {
			n := 0
			for {
				i := bytes.IndexByte(header[n:], '\n')
				if i < 0 {
					n = len(header)
					break
				}
				n += i + 1
				if n == len(header) || !isBlank(header[n]) {
					break
				}
			}
			if !yield(header[:n]) {
				return
			}
			header = header[n:]
		}
	}
}

// fieldName gives the name of a field in lower case, and its value.
func fieldName(field []byte) (string, []byte) {
	n, colon, ok := splitName(field)
	if !ok {
		return "", nil
	}
	return strings.ToLower(string(field[:n])), field[colon+1:]
}

func readEntity(header []byte, inDigest bool) entity {
	e := entity{kind: "text/plain", encoding: "7bit"}
	if inDigest {
		e.kind = "message/rfc822"
	}
	encoded := false
	for field := range fields(header) {
		switch name, value := fieldName(field); {
		case name == "mime-version":
			e.mimeVersion = true
		case name == "content-transfer-encoding" && !encoded:
			encoded = true
			v, _, _ := strings.Cut(unfold(value), "(")
			e.encoding = strings.ToLower(strings.TrimSpace(v))
		case name == "content-type" && !e.typed:
			e.typed = true
			e.setType(unfold(value))
		}
	}
	return e
}

// setType reads a Content-Type; of what is too sloppy for the mime package it
// takes type and boundary all the same.
func (e *entity) setType(value string) {
	kind, params, err := mime.ParseMediaType(value)
	boundary := params["boundary"]
	if err != nil {
		kind, value, _ = strings.Cut(value, ";")
		kind = strings.ToLower(strings.TrimSpace(kind))
		boundary = sloppyBoundary(value)
	}
	if !strings.Contains(kind, "/") {
		return // RFC 2045 §5.2: as if there were none
	}
	e.kind = kind
	if len(boundary) <= maxBoundary {
		e.boundary = boundary
	}
}

func sloppyBoundary(params string) string {
	const name = "boundary="
	for i := 0; i+len(name) <= len(params); i++ {
		if !strings.EqualFold(params[i:i+len(name)], name) {
			continue
		}
		v := params[i+len(name):]
		if quoted, ok := strings.CutPrefix(v, `"`); ok {
			v, _, _ = strings.Cut(quoted, `"`)
			return v
		}
		v, _, _ = strings.Cut(v, ";")
		return strings.TrimSpace(v)
	}
	return ""
}

// setEncoding writes a Content-Transfer-Encoding field, in the place of the first
// one if there is one.
func setEncoding(header []byte, encoding string) []byte {
	line := "Content-Transfer-Encoding: " + encoding + "\n"
	out := make([]byte, 0, len(header)+len(line))
	done := false
	for field := range fields(header) {
		if name, _ := fieldName(field); name != "content-transfer-encoding" {
			out = append(out, field...)
			continue
		}
		if !done {
			out = append(out, line...)
			done = true
		}
	}
	if !done {
		out = append(out, line...)
	}
	return out
}
