package mx_test

import (
	"net"
	"net/netip"
	"testing"

	"postrider/internal/dnstest"
	"postrider/mx"
)

const selfZone = `
	first.example.    300 IN MX 10 me.example.
	first.example.    300 IN MX 20 other.example.
	backup.example.   300 IN MX 10 other.example.
	backup.example.   300 IN MX 20 me.example.
	backup.example.   300 IN MX 20 equal.example.
	backup.example.   300 IN MX 30 third.example.
	only.example.     300 IN MX 10 me.example.
	down.example.     300 IN MX 10 fails.example.
	down.example.     300 IN MX 20 me.example.
	lost.example.     300 IN MX 10 gone.example.
	lost.example.     300 IN MX 20 me.example.
	other.example.    300 IN A 192.0.2.1
	equal.example.    300 IN A 192.0.2.2
	third.example.    300 IN A 192.0.2.3
	me.example.       300 IN A 127.0.0.1

	near.example.     300 IN MX 10 other.example.
	near.example.     300 IN MX 20 loopback.example.
	near.example.     300 IN MX 30 third.example.
	loopback.example. 300 IN A 127.0.0.1
	second.example.   300 IN A 127.0.0.2
	loopback6.example. 300 IN AAAA ::1
	zero.example.     300 IN A 0.0.0.0
	mapped.example.   300 IN AAAA ::ffff:127.0.0.1
	among.example.    300 IN A 192.0.2.9
	among.example.    300 IN A 127.0.0.1
`

func TestLoopByName(t *testing.T) {
	s := dnstest.New(t, selfZone)
	s.ServFail("fails.example")
	r := newResolver(t, s, func(o *mx.Options) { o.Self.Names = []string{"ME.example.", "bad name"} })

	h := mustLookup(t, r, "backup.example")
	if got := show(h); got != "10 other.example 192.0.2.1" || !h.SelfRemoved {
		t.Errorf("got %s, SelfRemoved %v; want only the better host", got, h.SelfRemoved)
	}
	if n := s.Queries("third.example", "A") + s.Queries("equal.example", "A"); n != 0 {
		t.Error("hosts no better than this one were looked up")
	}
	for _, next := range []string{"first.example", "only.example", "lost.example", "me.example", "Me.Example"} {
		if e := wantKind(t, r, next, mx.Loop); e.Status() != "5.4.6" || e.Temporary() || e.Code() != 550 {
			t.Errorf("%s: %v: %d %s", next, e, e.Code(), e.Status())
		}
	}
	// A better host that may come back is waited for.
	wantKind(t, r, "down.example", mx.ServFail)

	r.SetSelf(mx.Self{})
	if h := mustLookup(t, r, "backup.example"); h.SelfRemoved || len(h.List) != 4 {
		t.Errorf("after SetSelf: %s, SelfRemoved %v", show(h), h.SelfRemoved)
	}
}

func TestLoopByAddressAndPort(t *testing.T) {
	s := dnstest.New(t, selfZone)
	local := interfaceAddress(t)
	if err := s.SetZone(selfZone + "iface.example. 300 IN A " + local + "\n"); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		listener string
		port     uint16
		next     string
		loop     bool
	}{
		{"127.0.0.1:2525", 2525, "loopback.example", true},
		{"127.0.0.1:2525", 2525, "[127.0.0.1]", true},
		{"127.0.0.1:2525", 2525, "among.example", true},
		{"127.0.0.1:2525", 2525, "mapped.example", true},
		{"127.0.0.1:2525", 2525, "zero.example", true},
		{"127.0.0.1:2525", 2525, "localhost", true},
		{"[::1]:2525", 2525, "loopback6.example", true},
		{"[::ffff:127.0.0.1]:2525", 2525, "loopback.example", true},
		{"0.0.0.0:2525", 2525, "loopback.example", true},
		{"0.0.0.0:2525", 2525, "second.example", true},
		{"0.0.0.0:2525", 2525, "iface.example", true},
		{"[::]:2525", 2525, "iface.example", true},
		{"[::]:2525", 2525, "loopback6.example", true},
		{"[::]:2525", 2525, "zero.example", true},
		// Another port is another service, though on our address.
		{"127.0.0.1:2525", 25, "loopback.example", false},
		{"0.0.0.0:2525", 25, "iface.example", false},
		{"127.0.0.1:2525", 25, "[127.0.0.1]", false},
		// Ours is the machine, but nobody listens there.
		{"127.0.0.1:2525", 2525, "second.example", false},
		{"127.0.0.1:2525", 2525, "iface.example", false},
		{"127.0.0.1:2525", 2525, "loopback6.example", false},
		{"0.0.0.0:2525", 2525, "loopback6.example", false},
		{"0.0.0.0:2525", 2525, "other.example", false},
		{"192.0.2.77:2525", 2525, "zero.example", false},
	}
	for _, tt := range tests {
		t.Run(tt.listener+" "+tt.next, func(t *testing.T) {
			r := newResolver(t, s, func(o *mx.Options) {
				o.Self = mx.Self{Listeners: []netip.AddrPort{netip.MustParseAddrPort(tt.listener)}, Port: tt.port}
			})
			if tt.loop {
				wantKind(t, r, tt.next, mx.Loop)
			} else if h := mustLookup(t, r, tt.next); h.SelfRemoved {
				t.Errorf("%s was taken for this host", show(h))
			}
		})
	}
}

func TestLoopCutsByAddress(t *testing.T) {
	s := dnstest.New(t, selfZone)
	self := mx.Self{Listeners: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:2525")}, Port: 2525}
	r := newResolver(t, s, func(o *mx.Options) { o.Self = self })
	h := mustLookup(t, r, "near.example")
	if got := show(h); got != "10 other.example 192.0.2.1" || !h.SelfRemoved {
		t.Errorf("got %s, SelfRemoved %v", got, h.SelfRemoved)
	}
	host, err := r.LookupHost(t.Context(), "loopback.example")
	if err != nil || host.SelfRemoved {
		t.Errorf("a smarthost on this machine: %v", err)
	}
}

// interfaceAddress is an IPv4 address of this machine beyond loopback, or
// loopback's if there is none: 127.0.0.1 would not tell the cases apart.
func interfaceAddress(t *testing.T) string {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nets {
		p, err := netip.ParsePrefix(n.String())
		if err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().String()
		}
	}
	return "127.0.0.3"
}
