package message_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/message"
)

func TestSenders(t *testing.T) {
	forced := address.Address{Local: "no", Domain: "reply.test"}
	for _, tt := range []struct {
		name, head string
		options    message.Options
		senders    string
		bad        int
		out        string // start of what is read
	}{
		{"all four fields", "From: a@b\nsender : c@d\nResent-From: e\nResent-Sender: f@g\nReply-To: h@i\n", message.Options{Origin: "o.test"}, "[a@b c@d e@o.test f@g]", 0, "From: a@b\n"},
		{"twice", "From: a@b\nFROM: c@d, e@f\n", message.Options{}, "[a@b c@d e@f]", 0, "From: a@b\n"},
		{"unreadable", "From: a@b, <c\n", message.Options{}, "[a@b]", 1, "From: a@b, <c\n"},
		{"a name like an address", "From: c@d <a@b>\n", message.Options{}, "[a@b]", 1, "From: c@d <a@b>\n"},
		{"the same, bare", "From: c@d <a>\n", message.Options{Origin: "o.test"}, "[a@o.test]", 1, "From: c@d <a>\n"},
		{"two at signs", "From: c@d@b\n", message.Options{}, "[\"c@d\"@b]", 1, "From: c@d@b\n"},
		{"no other at sign", "From: \"c@d \\\" @\" <a@b> (e@f (@) \\) @), \"g@h\"@b, i\n", message.Options{Origin: "o.test"}, "[a@b \"g@h\"@b i@o.test]", 0, "From: "},
		{"forced, a name like an address", "From: c@d <a@b>\nX: y\n", message.Options{ForceFrom: forced}, "[no@reply.test]", 0, "From: no@reply.test\nX: y\n"},
		{"added", "X: y\n", message.Options{Fixup: true, From: address.Address{Local: "a", Domain: "b"}}, "[a@b]", 0, "X: y\n"},
		{"added again", "From: x@y\nResent-To: z@z\n", message.Options{Fixup: true, From: address.Address{Local: "a", Domain: "b"}}, "[x@y a@b]", 0, "From: x@y\n"},
		{"forced", "From: A <a@b>\nSender: c@d\n", message.Options{ForceFrom: forced}, "[no@reply.test c@d]", 0, "From: A <no@reply.test>\nSender: c@d\n"},
		{"forced, unreadable", "From: <c\n d\nX: y\n", message.Options{ForceFrom: forced}, "[no@reply.test]", 0, "From: no@reply.test\nX: y\n"},
		{"forced, several", "From: A <a@b>,\n C <c@d>\nX: y\n", message.Options{ForceFrom: forced}, "[no@reply.test]", 0, "From: no@reply.test\nX: y\n"},
		{"forced, not for who resends", "From: a@b\nResent-From: c@d\n", message.Options{ForceFrom: forced}, "[no@reply.test c@d]", 0, "From: no@reply.test\nResent-From: c@d\n"},
		{"forced, none there", "X: y\n", message.Options{ForceFrom: forced}, "[no@reply.test]", 0, "X: y\nFrom: no@reply.test\n\n"},
		{"forced, none there but who resends", "Resent-To: a@b\nResent-From: c@d\n", message.Options{Fixup: true, ForceFrom: forced}, "[c@d no@reply.test]", 0, "Resent-To: a@b\n"},
		{"forced and added", "X: y\n", message.Options{Fixup: true, ForceFrom: forced, MessageID: "<i>"}, "[no@reply.test]", 0, "X: y\nMessage-ID: <i>\n"},
	} {
		r := message.New(strings.NewReader(tt.head+"\nhi\n"), tt.options)
		h, err := r.Header()
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(h.Senders); got != tt.senders || len(h.BadSenders) != tt.bad {
			t.Errorf("%s: senders %s, bad %v", tt.name, got, h.BadSenders)
		}
		text, err := io.ReadAll(r)
		if err != nil || !strings.HasPrefix(string(text), tt.out) {
			t.Errorf("%s: read %q, %v", tt.name, text, err)
		}
		if tt.options.Fixup && !tt.options.ForceFrom.IsNull() && !strings.Contains(string(text), "\nFrom: no@reply.test\n") {
			t.Errorf("%s: read %q", tt.name, text)
		}
		r.Close()
	}
}

// TestSendersAreBounded: what a header says of senders takes little memory, and what
// was not read is not passed for good.
func TestSendersAreBounded(t *testing.T) {
	forced := address.Address{Local: "no", Domain: "reply.test"}
	for name, head := range map[string]string{
		"one long field":    "From: " + strings.Repeat("a@b,", 100_000) + "\n",
		"many in one field": "From: " + strings.Repeat("a@b,", 1000) + "\n",
		"many fields":       strings.Repeat("From: a@b\n", 50_000),
		"many bad ones":     strings.Repeat("Sender: <\n", 50_000),
	} {
		h, err := message.New(strings.NewReader(head+"\nhi\n"), message.Options{}).Header()
		if err != nil || len(h.Senders) > 200 || len(h.From) > 200 || len(h.BadSenders) == 0 || len(h.BadSenders) > 200 {
			t.Errorf("%s: %d senders, %d bad, %v", name, len(h.Senders), len(h.BadSenders), err)
		}
		text, err := io.ReadAll(message.New(strings.NewReader(head+"\nhi\n"), message.Options{ForceFrom: forced}))
		if err != nil || strings.Contains(string(text), "a@b") {
			t.Errorf("%s: forced %.100q, %v", name, text, err)
		}
	}
}
