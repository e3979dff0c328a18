package mx_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/dnstest"
	"postrider/mx"
)

const oneZone = `one.example. 300 IN A 192.0.2.1`

func TestTruncatedIsAskedOverTCP(t *testing.T) {
	var zone strings.Builder
	for i := range 120 {
		fmt.Fprintf(&zone, "big.example. 300 IN A 192.0.2.%d\n", i+1)
	}
	s := dnstest.New(t, oneZone+"\n"+zone.String())
	s.Set("one.example", "", dnstest.Behaviour{Truncate: true, AD: true})
	r := newResolver(t, s, func(o *mx.Options) { o.TrustAD = "yes" })
	h := mustLookup(t, r, "one.example")
	if got := show(h); got != "0 one.example 192.0.2.1" || !h.Secure {
		t.Errorf("got %s, Secure %v", got, h.Secure)
	}
	if n := s.QueriesTCP(); n != 3 {
		t.Errorf("%d questions over TCP, want 3: MX, A, AAAA", n)
	}
	// An answer beyond the announced size.
	s.ResetQueries()
	if h := mustLookup(t, r, "big.example"); len(h.List[0].Addresses) != 120 {
		t.Errorf("got %d addresses of 120", len(h.List[0].Addresses))
	}
	if n := s.QueriesTCP(); n != 1 {
		t.Errorf("%d questions over TCP, want 1", n)
	}
}

func TestAnswersThatDoNotBelongAreIgnored(t *testing.T) {
	for name, b := range map[string]dnstest.Behaviour{
		"other question": {WrongQuestion: true},
		"other id":       {WrongID: true},
		"garbage":        {Raw: []byte("xx this is no DNS message at all, only text")},
		"short":          {Raw: []byte("xx")},
		"header only":    {Raw: []byte{0, 0, 0x81, 0x80, 0, 0, 0, 0, 0, 0, 0, 0}},
		"query":          {Raw: []byte{0, 0, 0x01, 0x00, 0, 0, 0, 0, 0, 0, 0, 0}},
		"silence":        {Silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := dnstest.New(t, oneZone)
			s.Set("one.example", "", b)
			r := newResolver(t, s, func(o *mx.Options) { o.Timeout = 100 * time.Millisecond })
			if e := wantKind(t, r, "one.example", mx.Timeout); !e.Temporary() || e.Status() != "4.4.3" {
				t.Errorf("%v: status %s", e, e.Status())
			}
		})
	}
}

func TestNonsenseOverTCP(t *testing.T) {
	for name, b := range map[string]dnstest.Behaviour{
		"other question": {Truncate: true, WrongQuestion: true},
		"garbage":        {Raw: []byte{0, 0, 0x83, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 3, 'o', 'n', 'e', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0, 0, 15, 0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := dnstest.New(t, oneZone)
			s.Set("one.example", "MX", b)
			r := newResolver(t, s, func(o *mx.Options) { o.Timeout = 100 * time.Millisecond })
			_, err := r.Lookup(t.Context(), "one.example")
			if e, ok := err.(*mx.Error); !ok || !e.Temporary() {
				t.Errorf("got %v, want a temporary error", err)
			}
		})
	}
}

func TestServersWithoutEDNS(t *testing.T) {
	s := dnstest.New(t, oneZone)
	s.Set("", "", dnstest.Behaviour{NoEDNS: true})
	if got := show(mustLookup(t, newResolver(t, s, nil), "one.example")); got != "0 one.example 192.0.2.1" {
		t.Errorf("got %s", got)
	}
	if n := s.Queries("one.example", "MX"); n != 2 {
		t.Errorf("asked %d times, want twice: with and without EDNS", n)
	}
}

func TestNextServer(t *testing.T) {
	for name, b := range map[string]dnstest.Behaviour{
		"silent": {Silent: true}, "SERVFAIL": {Rcode: "SERVFAIL"}, "REFUSED": {Rcode: "REFUSED"},
		"referral": {Referral: true}, "nonsense": {WrongID: true},
	} {
		t.Run(name, func(t *testing.T) {
			bad, good := dnstest.New(t, ""), dnstest.New(t, oneZone)
			bad.Set("", "", b)
			r := newResolver(t, nil, func(o *mx.Options) {
				o.Servers, o.Timeout = []string{bad.Addr, good.Addr}, 150*time.Millisecond
			})
			if got := show(mustLookup(t, r, "one.example")); got != "0 one.example 192.0.2.1" {
				t.Errorf("got %s", got)
			}
			if n := bad.Queries("one.example", "MX"); n != 1 {
				t.Errorf("the first server was asked %d times, want 1", n)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		good := dnstest.New(t, oneZone)
		r := newResolver(t, nil, func(o *mx.Options) { o.Servers = []string{closedPort(t), good.Addr} })
		mustLookup(t, r, "one.example")
	})
	t.Run("only after failure", func(t *testing.T) {
		first, second := dnstest.New(t, oneZone), dnstest.New(t, oneZone)
		r := newResolver(t, nil, func(o *mx.Options) { o.Servers = []string{first.Addr, second.Addr} })
		mustLookup(t, r, "one.example")
		wantKind(t, r, "gone.example", mx.NoDomain)
		if n := second.Queries("", ""); n != 0 {
			t.Errorf("the second server got %d questions, want none: NXDOMAIN and no data are answers", n)
		}
	})
}

func TestDeadServerIsAskedLast(t *testing.T) {
	dead, good, now := dnstest.New(t, oneZone), dnstest.New(t, oneZone+"\n*.more.example. 300 IN A 192.0.2.2"), newClock()
	dead.Set("", "", dnstest.Behaviour{Silent: true})
	r := newResolver(t, nil, func(o *mx.Options) {
		o.Servers, o.Timeout, o.Now = []string{dead.Addr, good.Addr}, 150*time.Millisecond, now.Now
	})
	mustLookup(t, r, "one.example")
	before := dead.Queries("", "")
	for i := range 3 {
		mustLookup(t, r, fmt.Sprintf("h%d.more.example", i))
	}
	if n := dead.Queries("", ""); n != before {
		t.Errorf("the dead server got %d more questions", n-before)
	}
	now.Advance(time.Minute)
	dead.Reset()
	mustLookup(t, r, "one.example")
	if n := dead.Queries("", ""); n == before {
		t.Error("the server was never tried again")
	}
}

func TestRounds(t *testing.T) {
	s := dnstest.New(t, oneZone)
	r := newResolver(t, s, func(o *mx.Options) { o.Timeout, o.Rounds = 60*time.Millisecond, 3 })
	s.Set("silent.example", "", dnstest.Behaviour{Silent: true})
	s.ServFail("fails.example")
	wantKind(t, r, "silent.example", mx.Timeout)
	wantKind(t, r, "fails.example", mx.ServFail)
	if n := s.Queries("silent.example", "MX"); n != 3 {
		t.Errorf("a silent server was asked %d times, want 3", n)
	}
	if n := s.Queries("fails.example", "MX"); n != 1 {
		t.Errorf("a failing server was asked %d times, want 1", n)
	}
}

func TestUnreachable(t *testing.T) {
	r := newResolver(t, nil, func(o *mx.Options) { o.Servers = []string{closedPort(t)} })
	wantKind(t, r, "one.example", mx.Unreachable)
}

// Which failure is told when servers fail in different ways: the one that says most.
func TestWorstFailureIsTold(t *testing.T) {
	silent, failing := dnstest.New(t, ""), dnstest.New(t, "")
	silent.Set("", "", dnstest.Behaviour{Silent: true})
	failing.ServFail("one.example")
	r := newResolver(t, nil, func(o *mx.Options) {
		o.Servers, o.Timeout, o.Rounds = []string{closedPort(t), failing.Addr, silent.Addr}, 60*time.Millisecond, 2
	})
	wantKind(t, r, "one.example", mx.ServFail)
	if n := failing.Queries("one.example", "MX"); n != 1 {
		t.Errorf("the failing server was asked %d times, want 1", n)
	}
	if n := silent.Queries("one.example", "MX"); n != 2 {
		t.Errorf("the silent server was asked %d times, want 2", n)
	}
}

func TestContext(t *testing.T) {
	s := dnstest.New(t, oneZone)
	s.Set("slow.example", "", dnstest.Behaviour{Silent: true})
	r := newResolver(t, s, func(o *mx.Options) { o.Timeout = time.Minute })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	began := time.Now()
	h, err := r.Lookup(ctx, "slow.example")
	if e := checkKind(t, "slow.example", h, err, mx.Timeout); !errors.Is(e, context.DeadlineExceeded) {
		t.Errorf("%v does not tell why the context ended", e)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the caller waited %v beyond its context", took)
	}
	if ctx.Err() == nil {
		t.Error("the lookup ended before its context")
	}
}

func TestClosedResolver(t *testing.T) {
	s := dnstest.New(t, oneZone)
	s.Set("slow.example", "", dnstest.Behaviour{Silent: true})
	r := newResolver(t, s, func(o *mx.Options) { o.Timeout = time.Minute })
	failed := make(chan error, 1)
	go func() {
		_, err := r.Lookup(t.Context(), "slow.example")
		failed <- err
	}()
	eventually(t, "the question is asked", func() bool { return s.Queries("slow.example", "MX") > 0 })
	r.Close()
	checkKind(t, "slow.example", nil, <-failed, mx.Timeout)
	if e := wantKind(t, r, "one.example", mx.Unreachable); !e.Temporary() {
		t.Error("a closed resolver fails for good")
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().String()
}
