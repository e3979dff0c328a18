package mx_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/dnstest"
	"postrider/mx"
)

// clock is a clock that only moves when told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newResolver asks s only, and is impatient.
func newResolver(t testing.TB, s *dnstest.Server, change func(*mx.Options)) *mx.Resolver {
	t.Helper()
	o := mx.Options{Timeout: 2 * time.Second, Rounds: 1}
	if s != nil {
		o.Servers = []string{s.Addr}
	}
	if change != nil {
		change(&o)
	}
	r, err := mx.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// show writes what matters of an answer, one host after the other:
// "10 a.example 192.0.2.1,2001:db8::1; 20 b.example (domain does not exist)".
func show(h *mx.Hosts) string {
	var hosts []string
	for _, host := range h.List {
		var addresses []string
		for _, a := range host.Addresses {
			addresses = append(addresses, a.String())
		}
		s := fmt.Sprintf("%d %s %s", host.Preference, host.Name, strings.Join(addresses, ","))
		var e *mx.Error
		if errors.As(host.Err, &e) {
			s += "(" + e.Kind.String() + ")"
		}
		hosts = append(hosts, s)
	}
	return strings.Join(hosts, "; ")
}

func mustLookup(t testing.TB, r *mx.Resolver, next string) *mx.Hosts {
	t.Helper()
	h, err := r.Lookup(t.Context(), next)
	if err != nil {
		t.Fatalf("Lookup(%q): %v", next, err)
	}
	return h
}

// wantKind looks next up and checks how it fails.
func wantKind(t testing.TB, r *mx.Resolver, next string, kind mx.Kind) *mx.Error {
	t.Helper()
	h, err := r.Lookup(t.Context(), next)
	return checkKind(t, next, h, err, kind)
}

func checkKind(t testing.TB, next string, h *mx.Hosts, err error, kind mx.Kind) *mx.Error {
	t.Helper()
	var e *mx.Error
	switch {
	case err == nil:
		t.Fatalf("look up %q: got %s, want error %q", next, show(h), kind)
	case !errors.As(err, &e):
		t.Fatalf("look up %q: error %v is no *mx.Error", next, err)
	case e.Kind != kind:
		t.Fatalf("look up %q: got %v, want kind %q", next, e, kind)
	case h != nil:
		t.Fatalf("look up %q: got hosts beside error %v", next, e)
	}
	return e
}

// eventually polls until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("timed out waiting until %s", what)
		}
	}
}

func fixedRand() rand.Source { return rand.NewPCG(1, 2) }
