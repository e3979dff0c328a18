package mailboxd

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

// FuzzRequest: whatever a peer sends, it is refused or is one request for
// something, which can be sent on, and nothing behind it is consumed.
func FuzzRequest(f *testing.F) {
	to := address.Address{Local: "games", Domain: "example.com"}
	for _, req := range []request{
		{Kind: kindDeliver, Envelope: local.Envelope{To: to, Original: "rfc822;x"}},
		{Kind: kindDeliver, Envelope: local.Envelope{To: to, Target: queue.Target{Kind: queue.TargetCommand, Value: "cat", User: "games"}, Via: []address.Address{to}}},
		{Kind: kindForward, User: "games"},
		{Kind: kindInclude, User: "games", Path: "/x"},
	} {
		var good bytes.Buffer
		if err := writeFrame(&good, req, maxRequest); err != nil {
			f.Fatal(err)
		}
		f.Add(good.Bytes())
	}
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x0dnull null\n\n\n\n"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		in := bytes.NewReader(append(bytes.Clone(sent), "message"...))
		req, err := readRequest(in)
		if err != nil {
			return
		}
		if consumed := in.Size() - int64(in.Len()); consumed != 4+int64(binary.BigEndian.Uint32(sent)) || req.check() != nil {
			t.Fatalf("%d bytes became %+v", consumed, req)
		}
		var again bytes.Buffer
		if writeFrame(&again, req, maxRequest) != nil {
			return // JSON can be written longer than it was read
		}
		back, err := readRequest(&again)
		if len(req.Envelope.Via) == 0 {
			back.Envelope.Via, req.Envelope.Via = nil, nil
		}
		if err != nil || !reflect.DeepEqual(back, req) {
			t.Fatalf("%+v became %+v, %v", req, back, err)
		}
	})
}

// FuzzAnswer: every outcome fits an answer, the text of a file comes through as it
// is, and no answer is taken for more than an outcome.
func FuzzAnswer(f *testing.F) {
	f.Add("delivered to /var/mail/x", []byte("\x00\x00\x00\x02{}"))
	f.Add("\x00\xff\u2028", []byte("\x00\x00\x00\x04null"))
	f.Add(strings.Repeat("\x01", 1<<16), []byte("\x00\x00\x00\x0c{\"Result\":2}"))
	f.Fuzz(func(t *testing.T, words string, sent []byte) {
		var b bytes.Buffer
		if err := writeAnswer(&b, local.Outcome{Result: queue.Expanded, Status: "2.0.0", Text: words, Forward: words}); err != nil {
			t.Fatal(err)
		}
		if o, err := readAnswer(&b, kindDeliver); err != nil || o.Result != queue.Expanded || o.Forward != words {
			t.Fatalf("%+v, %v", o, err)
		}
		for _, kind := range []string{kindDeliver, kindForward, kindInclude} {
			o, err := readAnswer(bytes.NewReader(sent), kind)
			if err == nil && (o.Result == queue.Pending && kind != kindForward || o.Result == queue.Delivered && kind != kindDeliver) {
				t.Fatalf("%s: %+v", kind, o)
			}
		}
	})
}
