package dsn

import (
	"bytes"
	"io"

	"github.com/emersion/go-message/textproto"
)

// part is one part of the report.
type part struct {
	description string
	contentType string
	eightBit    bool
	// writeTo writes the content, which goes out exactly as it is.
	writeTo func(io.Writer) error
}

// write adds the part. The content goes past the multipart writer, to w itself:
// nothing on the way may touch a byte of it.
func (p part) write(parts *textproto.MultipartWriter, w io.Writer) error {
	var h textproto.Header // Add puts a field before the others.
	if p.eightBit {
		h.Add("Content-Transfer-Encoding", "8bit")
	}
	h.Add("Content-Type", p.contentType)
	h.Add("Content-Description", p.description)
	if _, err := parts.CreatePart(h); err != nil {
		return err
	}
	return p.writeTo(w)
}

// written makes a content of a string.
func written(s string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, s)
		return err
	}
}

func (r *Report) textPart(text string) part {
	charset := "us-ascii"
	if r.SMTPUTF8 {
		charset = "utf-8"
	}
	return part{
		description: "Notification",
		contentType: "text/plain; charset=" + charset,
		eightBit:    r.SMTPUTF8,
		writeTo:     written(text),
	}
}

func (r *Report) statusPart() part {
	contentType := "message/delivery-status"
	if r.SMTPUTF8 {
		contentType = "message/global-delivery-status" // RFC 6533 §4
	}
	return part{
		description: "Delivery report",
		contentType: contentType,
		eightBit:    r.SMTPUTF8,
		writeTo:     written(r.status()),
	}
}

// returned is the part with the message (RFC 6522 §3), or its header (§4).
func (r *Report) returned(original io.Reader) part {
	p := part{eightBit: r.returnsEightBit()}
	switch {
	case r.full() && r.SMTPUTF8:
		p.contentType = "message/global" // RFC 6532 §3.7
	case r.full():
		p.contentType = "message/rfc822"
	case r.SMTPUTF8:
		p.contentType = "message/global-headers" // RFC 6533 §5
	default:
		p.contentType = "text/rfc822-headers"
	}
	p.description = "Message Headers"
	p.writeTo = func(w io.Writer) error { return copyHeader(w, original) }
	if r.full() {
		p.description = "Undelivered Message"
		p.writeTo = func(w io.Writer) error {
			_, err := io.Copy(w, original)
			return err
		}
	}
	return p
}

// lfWriter turns the line ends of the multipart writer into those of the queue.
// Only delimiters and part headers of ours go through it.
type lfWriter struct{ w io.Writer }

func (l lfWriter) Write(p []byte) (int, error) {
	if _, err := l.w.Write(bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}
