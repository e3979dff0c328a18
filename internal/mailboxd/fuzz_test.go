package mailboxd

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

// FuzzRequest: whatever a peer sends, it is refused or is one envelope with a
// recipient, which can be sent on, and nothing behind it is consumed.
func FuzzRequest(f *testing.F) {
	var good bytes.Buffer
	env := local.Envelope{To: address.Address{Local: "games", Domain: "example.com"}, Original: "rfc822;x"}
	if err := writeFrame(&good, env); err != nil {
		f.Fatal(err)
	}
	f.Add(good.Bytes())
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x0dnull null\n\n\n\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		in := bytes.NewReader(append(bytes.Clone(sent), "message"...))
		env, err := readRequest(in)
		if err != nil {
			return
		}
		if consumed := in.Size() - int64(in.Len()); consumed != 4+int64(binary.BigEndian.Uint32(sent)) || env.To.Local == "" {
			t.Fatalf("%d bytes became %+v", consumed, env)
		}
		var again bytes.Buffer
		if writeFrame(&again, env) != nil {
			return // JSON can be written longer than it was read
		}
		if back, err := readRequest(&again); err != nil || !reflect.DeepEqual(back, env) {
			t.Fatalf("%+v became %+v, %v", env, back, err)
		}
	})
}

// FuzzAnswer: every outcome fits an answer, and no answer is taken for more than
// an outcome.
func FuzzAnswer(f *testing.F) {
	f.Add("delivered to /var/mail/x", []byte("\x00\x00\x00\x02{}"))
	f.Add("\x00\xff\u2028", []byte("\x00\x00\x00\x04null"))
	f.Fuzz(func(t *testing.T, words string, sent []byte) {
		var b bytes.Buffer
		if err := writeAnswer(&b, local.Outcome{Result: queue.Failed, Status: "5.1.1", Text: words}); err != nil {
			t.Fatal(err)
		}
		if o, err := readAnswer(&b); err != nil || o.Result != queue.Failed || o.Status != "5.1.1" {
			t.Fatalf("%+v, %v", o, err)
		}
		if o, err := readAnswer(bytes.NewReader(sent)); err == nil && o.Result == queue.Pending {
			t.Fatalf("%+v", o)
		}
	})
}
