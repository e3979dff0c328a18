package delivery_test

import (
	"slices"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/smtptest"
	"postrider/policy"
)

// TestEnvelopesOfOneMessage: recipients that a list or .forward added travel by
// themselves, from the list's owner and with a trace of where they came by; who
// sends is rewritten for other hosts in envelope and header.
func TestEnvelopesOfOneMessage(t *testing.T) {
	b := newBench(t, "many.test. 60 IN MX 10 mx.many.test.\nmx.many.test. 60 IN A 127.0.0.2\n")
	s := b.sink(t, "127.0.0.2", smtptest.Options{})
	agent := b.agent(t)
	var err error
	if agent.Masquerade, err = policy.NewMasquerades([]policy.Masquerade{{Match: "*@sender.test", To: "*@out.test"}}); err != nil {
		t.Fatal(err)
	}
	w := work("many.test", "plain@many.test", "member@many.test", "also@many.test", "forwarded@many.test")
	owner := addr("owner-list@sender.test")
	for _, i := range []int{1, 2} {
		w.Message.Recipients[i].Via = []address.Address{addr("list@sender.test")}
		w.Message.Recipients[i].ReversePath = &owner
	}
	w.Message.Recipients[3].Via = []address.Address{addr("list@sender.test"), addr("bob@sender.test")}
	v := agent.Deliver(t.Context(), w)
	if got := outcomes(v); got != "relayed 2.0.0, relayed 2.0.0, relayed 2.0.0, relayed 2.0.0" {
		t.Errorf("outcomes %s", got)
	}
	var got []string
	for _, m := range s.Messages() {
		var to []string
		for _, r := range m.To {
			to = append(to, r.Address)
		}
		head, _, _ := strings.Cut(string(m.Data), "Subject:")
		got = append(got, m.From+" to "+strings.Join(to, ",")+": "+strings.ReplaceAll(head, "\r\n", "|"))
	}
	want := []string{
		"a@out.test to plain@many.test: From: a@out.test|",
		"owner-list@out.test to member@many.test,also@many.test: Delivered-To: list@sender.test|From: a@out.test|",
		"a@out.test to forwarded@many.test: Delivered-To: bob@sender.test|Delivered-To: list@sender.test|From: a@out.test|",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMasqueradedToASCII: a sender that other hosts never see asks nothing of them.
func TestMasqueradedToASCII(t *testing.T) {
	b := newBench(t, "many.test. 60 IN MX 10 mx.many.test.\nmx.many.test. 60 IN A 127.0.0.2\n")
	s := b.sink(t, "127.0.0.2", smtptest.Options{})
	for _, tt := range []struct{ match, to, rcpt, outcome string }{
		{"*@sender.test", "box@out.test", "x@many.test", "relayed 2.0.0"},
		{"*@sender.test", "*@out.test", "x@many.test", "failed 5.6.7"},
		{"*@sender.test", "box@out.test", "\u00fc@many.test", "failed 5.6.7"},
		{"*@other.test", "box@out.test", "x@many.test", "failed 5.6.7"},
	} {
		agent := b.agent(t)
		var err error
		if agent.Masquerade, err = policy.NewMasquerades([]policy.Masquerade{{Match: tt.match, To: tt.to}}); err != nil {
			t.Fatal(err)
		}
		w := work("many.test", tt.rcpt)
		w.Message.Envelope.ReversePath.Local, w.Message.Envelope.SMTPUTF8 = "\u00e4", true
		if got := outcomes(agent.Deliver(t.Context(), w)); got != tt.outcome {
			t.Errorf("%s to %s, for %s: %s, want %s", tt.match, tt.to, tt.rcpt, got, tt.outcome)
		}
	}
	if s.Count() != 1 || s.Messages()[0].Mail.UTF8 {
		t.Errorf("%+v", s.Messages())
	}
}
