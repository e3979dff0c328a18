package dnstest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/dnstest"
)

const zone = `
	example.         300 IN SOA ns.example. hm.example. 1 1 1 1 60
	mail.example.    300 IN MX  10 mx.deep.mail.example.
	mx.deep.mail.example. IN A  192.0.2.1
	alias.example.   300 IN CNAME mail.example.
	round.example.   300 IN CNAME round.example.
	*.wild.example.  300 IN A   192.0.2.2
`

// ask puts one question; network is "udp" or "tcp".
func ask(t *testing.T, s *dnstest.Server, network, name string, qtype uint16) (*dns.Msg, error) {
	t.Helper()
	m := new(dns.Msg).SetQuestion(name, qtype)
	m.AuthenticatedData = true
	m.SetEdns0(1232, true)
	r, _, err := (&dns.Client{Net: network, Timeout: 200 * time.Millisecond}).ExchangeContext(t.Context(), m, s.Addr)
	return r, err
}

func TestAnswers(t *testing.T) {
	s := dnstest.New(t, zone)
	tests := []struct {
		name    string
		qtype   uint16
		rcode   int
		answers int
		soa     bool
	}{
		{"mail.example.", dns.TypeMX, dns.RcodeSuccess, 1, false},
		{"MAIL.example.", dns.TypeMX, dns.RcodeSuccess, 1, false},
		{"mail.example.", dns.TypeA, dns.RcodeSuccess, 0, true},
		{"deep.mail.example.", dns.TypeA, dns.RcodeSuccess, 0, true}, // only names below it
		{"gone.example.", dns.TypeA, dns.RcodeNameError, 0, true},
		{"gone.invalid.", dns.TypeA, dns.RcodeNameError, 0, false},
		{"alias.example.", dns.TypeMX, dns.RcodeSuccess, 2, false},
		{"alias.example.", dns.TypeA, dns.RcodeSuccess, 1, true},
		{"alias.example.", dns.TypeCNAME, dns.RcodeSuccess, 1, false},
		{"round.example.", dns.TypeA, dns.RcodeSuccess, 16, false},
		{"a.b.wild.example.", dns.TypeA, dns.RcodeSuccess, 1, false},
		{"wild.example.", dns.TypeA, dns.RcodeSuccess, 0, true},
	}
	for _, network := range []string{"udp", "tcp"} {
		for _, tt := range tests {
			m, err := ask(t, s, network, tt.name, tt.qtype)
			if err != nil {
				t.Fatalf("%s %s: %v", network, tt.name, err)
			}
			if m.Rcode != tt.rcode || len(m.Answer) != tt.answers || (len(m.Ns) == 1) != tt.soa || m.AuthenticatedData {
				t.Errorf("%s %s %s: got\n%v", network, tt.name, dns.TypeToString[tt.qtype], m)
			}
			if tt.answers > 0 && !strings.EqualFold(m.Answer[0].Header().Name, tt.name) {
				t.Errorf("%s: answered for %s", tt.name, m.Answer[0].Header().Name)
			}
		}
	}
}

func TestBehaviours(t *testing.T) {
	tests := map[string]struct {
		b  dnstest.Behaviour
		ok func(m *dns.Msg, err error) bool
	}{
		"healthy":  {dnstest.Behaviour{}, func(m *dns.Msg, err error) bool { return err == nil && len(m.Answer) == 2 }},
		"rcode":    {dnstest.Behaviour{Rcode: "REFUSED"}, func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == dns.RcodeRefused }},
		"silent":   {dnstest.Behaviour{Silent: true}, func(_ *dns.Msg, err error) bool { return err != nil }},
		"slow":     {dnstest.Behaviour{Delay: time.Minute}, func(_ *dns.Msg, err error) bool { return err != nil }},
		"delay":    {dnstest.Behaviour{Delay: time.Millisecond}, func(m *dns.Msg, err error) bool { return err == nil && len(m.Answer) == 2 }},
		"truncate": {dnstest.Behaviour{Truncate: true}, func(m *dns.Msg, err error) bool { return err == nil && m.Truncated && len(m.Answer) == 0 }},
		"ad":       {dnstest.Behaviour{AD: true}, func(m *dns.Msg, err error) bool { return err == nil && m.AuthenticatedData }},
		"no chase": {dnstest.Behaviour{NoChase: true}, func(m *dns.Msg, err error) bool { return err == nil && len(m.Answer) == 1 }},
		"no edns":  {dnstest.Behaviour{NoEDNS: true}, func(m *dns.Msg, err error) bool { return err == nil && m.Rcode == dns.RcodeFormatError }},
		"question": {dnstest.Behaviour{WrongQuestion: true}, func(m *dns.Msg, err error) bool { return err == nil && m.Question[0].Name == "wrong.invalid." }},
		"id":       {dnstest.Behaviour{WrongID: true}, func(_ *dns.Msg, err error) bool { return err != nil }},
		"raw":      {dnstest.Behaviour{Raw: []byte("xx garbage that is long enough")}, func(_ *dns.Msg, err error) bool { return err != nil }},
		"referral": {dnstest.Behaviour{Referral: true}, func(m *dns.Msg, err error) bool { return err == nil && len(m.Ns) == 1 && len(m.Answer) == 0 }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := dnstest.New(t, zone)
			s.Set("Alias.Example.", "mx", tt.b)
			if m, err := ask(t, s, "udp", "alias.example.", dns.TypeMX); !tt.ok(m, err) {
				t.Errorf("got %v, %v", m, err)
			}
			s.Reset()
			if m, err := ask(t, s, "udp", "alias.example.", dns.TypeMX); err != nil || len(m.Answer) != 2 {
				t.Errorf("after Reset: got %v, %v", m, err)
			}
		})
	}
	s := dnstest.New(t, zone)
	s.Set("alias.example", "", dnstest.Behaviour{Truncate: true})
	if m, err := ask(t, s, "tcp", "alias.example.", dns.TypeMX); err != nil || m.Truncated || len(m.Answer) != 2 {
		t.Errorf("truncated over TCP: %v, %v", m, err)
	}
}

func TestMostSpecificBehaviourCounts(t *testing.T) {
	s := dnstest.New(t, zone)
	s.Set("", "", dnstest.Behaviour{Rcode: "REFUSED"})
	s.Set("", "A", dnstest.Behaviour{Rcode: "NOTIMP"})
	s.ServFail("mail.example")
	s.Set("mail.example", "MX", dnstest.Behaviour{Rcode: "NXDOMAIN"})
	for _, tt := range []struct {
		name  string
		qtype uint16
		rcode int
	}{
		{"mail.example.", dns.TypeMX, dns.RcodeNameError}, {"mail.example.", dns.TypeA, dns.RcodeServerFailure},
		{"other.example.", dns.TypeA, dns.RcodeNotImplemented}, {"other.example.", dns.TypeMX, dns.RcodeRefused},
	} {
		if m, err := ask(t, s, "udp", tt.name, tt.qtype); err != nil || m.Rcode != tt.rcode {
			t.Errorf("%s %d: got %v, %v", tt.name, tt.qtype, m, err)
		}
	}
	if all, mx, a := s.Queries("", ""), s.Queries("", "MX"), s.Queries("MAIL.example.", "a"); all != 4 || mx != 2 || a != 1 {
		t.Errorf("counted %d, %d MX, %d A of mail.example; want 4, 2, 1", all, mx, a)
	}
	if _, err := ask(t, s, "tcp", "mail.example.", dns.TypeA); err != nil || s.QueriesTCP() != 1 {
		t.Errorf("%d questions over TCP, %v", s.QueriesTCP(), err)
	}
	if s.ResetQueries(); s.Queries("", "")+s.QueriesTCP() != 0 {
		t.Error("ResetQueries left some")
	}
}

func TestStartAndClose(t *testing.T) {
	if s, err := dnstest.Start("127.0.0.1:0", "this is no zone"); err == nil {
		s.Close()
		t.Error("a bad zone was accepted")
	}
	s, err := dnstest.Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetZone("nor is this"); err == nil {
		t.Error("SetZone accepted a bad zone")
	}
	if err := s.SetZone("new.example. IN A 192.0.2.3"); err != nil {
		t.Error(err)
	}
	if m, err := ask(t, s, "udp", "new.example.", dns.TypeA); err != nil || len(m.Answer) != 1 {
		t.Errorf("after SetZone: %v, %v", m, err)
	}
	if other, err := dnstest.Start(s.Addr, zone); err == nil {
		other.Close()
		t.Error("two servers on one port")
	}
	s.Set("new.example", "", dnstest.Behaviour{Delay: time.Hour})
	ask(t, s, "udp", "new.example.", dns.TypeA)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	select {
	case err := <-closed:
		if err != nil || s.Close() != nil {
			t.Errorf("Close: %v", err)
		}
	case <-ctx.Done():
		t.Error("Close waits for an answer that is delayed")
	}
}
