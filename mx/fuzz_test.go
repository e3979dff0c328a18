package mx_test

import (
	"errors"
	"testing"
	"time"

	"postrider/internal/dnstest"
	"postrider/mx"
)

// FuzzResponse has a server send arbitrary octets, after an id, question and flags
// that make them worth reading if the first one says so.
func FuzzResponse(f *testing.F) {
	head := []byte{0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0, 4, 'f', 'u', 'z', 'z', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 15, 0, 1}
	f.Add(head[:12], []byte{})
	f.Add(head[:4], []byte{0xc0, 12, 0, 15, 0, 1, 0, 0, 1, 0, 0, 4, 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0x83, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}, []byte{0xc0, 12, 0, 5, 0, 1, 0, 0, 1, 0, 0, 2, 0xc0, 12})
	f.Add([]byte{0, 0, 0x81, 0x83, 0, 1, 0, 2, 0, 0, 0, 0}, []byte{0xc0})
	s := dnstest.New(f, "")
	f.Fuzz(func(t *testing.T, header, body []byte) {
		raw := append([]byte(nil), head...)
		copy(raw[2:12], header[min(2, len(header)):])
		raw = append(raw, body[:min(len(body), 60000)]...)
		s.Set("", "", dnstest.Behaviour{Raw: raw})
		r := newResolver(t, s, func(o *mx.Options) { o.Timeout, o.Self.Names = 5*time.Millisecond, []string{"me.example"} })
		h, err := r.Lookup(t.Context(), "fuzz.example")
		var e *mx.Error
		switch {
		case err == nil:
			if len(h.List) == 0 || h.TTL < 0 {
				t.Errorf("success without hosts: %+v", h)
			}
		case !errors.As(err, &e) || h != nil || e.Status() == "" || e.Error() == "":
			t.Errorf("got %v, %v", h, err)
		}
	})
}
