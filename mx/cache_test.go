package mx_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"postrider/internal/dnstest"
	"postrider/mx"
)

func TestHowLongAnswersAreKept(t *testing.T) {
	s := dnstest.New(t, `
		ttl.example.     3600 IN SOA ns.example. hm.example. 1 1 1 1 600
		a.ttl.example.   300  IN A 192.0.2.1
		soa.example.     120  IN SOA ns.example. hm.example. 1 1 1 1 3600
		a.soa.example.   60   IN TXT "no address"
		zero.example.    0    IN A 192.0.2.2
		week.example.    604800 IN A 192.0.2.3
		long.example.    604800 IN SOA ns.example. hm.example. 1 1 1 1 604800
		alias.example.   30   IN CNAME week.example.
		two.example.     900  IN A 192.0.2.4
		two.example.     100  IN A 192.0.2.5
	`)
	s.ServFail("fails.example")
	tests := []struct {
		name string
		kept time.Duration
	}{
		{"a.ttl.example", 300 * time.Second},
		{"gone.ttl.example", 600 * time.Second},
		{"gone.soa.example", 120 * time.Second},
		{"a.soa.example", 120 * time.Second},
		{"zero.example", 5 * time.Second},
		{"week.example", time.Hour},
		{"gone.long.example", 15 * time.Minute},
		{"alias.example", 30 * time.Second},
		{"two.example", 100 * time.Second},
		{"gone.nosoa.example", 5 * time.Second},
		{"fails.example", 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now := newClock()
			r := newResolver(t, s, func(o *mx.Options) { o.Now, o.Family = now.Now, mx.IPv4Only })
			before := s.Queries(tt.name, "A")
			asked := func() int {
				r.LookupHost(t.Context(), tt.name)
				return s.Queries(tt.name, "A") - before
			}
			if n := asked(); n != 1 {
				t.Fatalf("first lookup asked %d times", n)
			}
			now.Advance(tt.kept - time.Second)
			if n := asked(); n != 1 {
				t.Errorf("asked again before %v", tt.kept)
			}
			now.Advance(time.Second)
			if n := asked(); n != 2 {
				t.Errorf("did not ask again after %v", tt.kept)
			}
		})
	}
}

func TestTTL(t *testing.T) {
	s := dnstest.New(t, `
		mail.example.    600 IN MX 10 a.example.
		mail.example.    600 IN MX 20 b.example.
		example.         3600 IN SOA ns.example. hm.example. 1 1 1 1 900
		a.example.       300 IN A 192.0.2.1
		b.example.       200 IN A 192.0.2.2
		lone.example.    800 IN A 192.0.2.3`)
	now := newClock()
	r := newResolver(t, s, func(o *mx.Options) { o.Now = now.Now })
	for next, want := range map[string]time.Duration{"mail.example": 200 * time.Second, "lone.example": 800 * time.Second} {
		if h := mustLookup(t, r, next); h.TTL != want {
			t.Errorf("%s: TTL %v, want %v", next, h.TTL, want)
		}
	}
	now.Advance(50 * time.Second)
	if h := mustLookup(t, r, "mail.example"); h.TTL != 150*time.Second {
		t.Errorf("from the cache: TTL %v, want 150s", h.TTL)
	}
	if n := s.Queries("mail.example", "MX"); n != 1 {
		t.Errorf("asked %d times, want 1", n)
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := dnstest.New(t, `*.example. 3600 IN A 192.0.2.1`)
	r := newResolver(t, s, func(o *mx.Options) { o.CacheSize, o.Family = 3, mx.IPv4Only })
	lookup := func(n int) {
		if _, err := r.LookupHost(t.Context(), fmt.Sprintf("h%d.example", n)); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{1, 2, 3, 1, 4, 1} { // 2 is the one unused for longest
		lookup(n)
	}
	if n := s.Queries("h1.example", "A"); n != 1 {
		t.Errorf("an answer in use was dropped: asked %d times", n)
	}
	lookup(2)
	if n := s.Queries("h2.example", "A"); n != 2 {
		t.Errorf("h2 was asked for %d times, want 2", n)
	}
}

func TestSingleFlight(t *testing.T) {
	s := dnstest.New(t, `busy.example. 300 IN A 192.0.2.1`)
	s.Set("busy.example", "", dnstest.Behaviour{Delay: 100 * time.Millisecond})
	r := newResolver(t, s, nil)

	// The first caller leaves; the others must not notice.
	ctx, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		h, err := r.Lookup(ctx, "busy.example")
		checkKind(t, "busy.example", h, err, mx.Timeout)
	})
	eventually(t, "the question is asked", func() bool { return s.Queries("busy.example", "MX") > 0 })
	for range 50 {
		all.Go(func() {
			if _, err := r.Lookup(t.Context(), "busy.example"); err != nil {
				t.Errorf("a caller was failed by another's leaving: %v", err)
			}
		})
	}
	leave()
	all.Wait()
	for _, qtype := range []string{"MX", "A", "AAAA"} {
		if n := s.Queries("busy.example", qtype); n != 1 {
			t.Errorf("%s: asked %d times for 51 callers, want 1", qtype, n)
		}
	}
}

func TestZoneChangesAreSeenInTime(t *testing.T) {
	s, now := dnstest.New(t, `host.example. 60 IN A 192.0.2.1`), newClock()
	r := newResolver(t, s, func(o *mx.Options) { o.Now = now.Now })
	mustLookup(t, r, "host.example")
	if err := s.SetZone(`host.example. 60 IN A 192.0.2.2`); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0 host.example 192.0.2.1", "0 host.example 192.0.2.2"} {
		if got := show(mustLookup(t, r, "host.example")); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		now.Advance(time.Minute)
	}
}
