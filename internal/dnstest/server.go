package dnstest

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// TB is the part of testing.TB that New needs, so that programs which use Start do
// not link package testing.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Server answers DNS questions over UDP and TCP. It is safe for concurrent use.
type Server struct {
	// Addr is where it listens, "address:port", the same for UDP and TCP.
	Addr string

	udp, stream *dns.Server
	done        chan struct{}
	close       func() error

	mu         sync.Mutex
	zone       *zone
	behaviours map[question]Behaviour
	queries    map[question]int
	tcp        int
}

// New starts a server for a test on a free port of 127.0.0.1 and closes it at the
// test's end. Leading blanks on the zone's lines do not count.
func New(t TB, zone string) *Server {
	t.Helper()
	s, err := Start("127.0.0.1:0", zone)
	if err != nil {
		t.Fatalf("start DNS server: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Start starts a server on addr ("127.0.0.1:0" picks a free port). The caller
// closes it.
func Start(addr, zone string) (*Server, error) {
	z, err := parseZone(zone)
	if err != nil {
		return nil, err
	}
	stream, packet, err := listen(addr)
	if err != nil {
		return nil, err
	}
	s := &Server{
		Addr: packet.LocalAddr().String(), zone: z, done: make(chan struct{}),
		behaviours: map[question]Behaviour{}, queries: map[question]int{},
	}
	s.close = sync.OnceValue(s.shutdown)
	s.udp = &dns.Server{PacketConn: packet, Handler: s, UDPSize: 4096}
	s.stream = &dns.Server{Listener: stream, Handler: s}
	for _, srv := range []*dns.Server{s.udp, s.stream} {
		if err := serve(srv); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	return s, nil
}

// listen opens TCP and UDP on one port. A free TCP port may be taken for UDP, so
// that port 0 is tried several times.
func listen(addr string) (net.Listener, net.PacketConn, error) {
	var last error
	for range 20 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, nil, fmt.Errorf("listen for DNS over TCP on %q: %w", addr, err)
		}
		p, err := net.ListenPacket("udp", l.Addr().String())
		if err == nil {
			return l, p, nil
		}
		last = errors.Join(err, l.Close())
	}
	return nil, nil, fmt.Errorf("listen for DNS over UDP on %q: %w", addr, last)
}

// serve returns once the server has begun; Shutdown waits for its goroutine.
func serve(srv *dns.Server) error {
	started, failed := make(chan struct{}), make(chan error, 1)
	srv.NotifyStartedFunc = func() { close(started) }
	go func() { failed <- srv.ActivateAndServe() }()
	select {
	case <-started:
		return nil
	case err := <-failed:
		return fmt.Errorf("serve DNS: %w", err)
	}
}

// Close stops the server and waits for answers under way. Further calls do nothing.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutdown() error {
	close(s.done)
	return errors.Join(s.udp.Shutdown(), s.stream.Shutdown())
}

// SetZone replaces all records.
func (s *Server) SetZone(zone string) error {
	z, err := parseZone(zone)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone = z
	return nil
}

// ServeDNS implements dns.Handler.
func (s *Server) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	asked := req.Question[0]
	q := key(asked.Name, dns.TypeToString[asked.Qtype])
	_, tcp := w.RemoteAddr().(*net.TCPAddr)
	s.count(q, tcp)
	b := s.behaviour(q)
	if b.Silent || !s.wait(b.Delay) {
		return
	}
	if b.Raw != nil {
		raw := append([]byte{byte(req.Id >> 8), byte(req.Id)}, b.Raw[min(2, len(b.Raw)):]...)
		w.Write(raw)
		return
	}
	s.mu.Lock()
	z := s.zone
	s.mu.Unlock()
	w.WriteMsg(reply(z, req, b, tcp))
}

// wait lets d pass; it reports false if the server closed meanwhile.
func (s *Server) wait(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	select {
	case <-time.After(d):
		return true
	case <-s.done:
		return false
	}
}

func reply(z *zone, req *dns.Msg, b Behaviour, tcp bool) *dns.Msg {
	m := new(dns.Msg).SetReply(req)
	m.RecursionAvailable = true
	opt := req.IsEdns0()
	if opt != nil && b.NoEDNS {
		m.Rcode = dns.RcodeFormatError
		return m
	}
	q := req.Question[0]
	switch {
	case b.Rcode != "":
		m.Rcode = dns.StringToRcode[b.Rcode]
	case b.Referral:
		m.RecursionAvailable = false
		m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 300}, Ns: "ns.invalid."}}
	case b.Truncate && !tcp:
		m.Truncated = true
	default:
		z.answer(m, q.Name, q.Qtype, !b.NoChase)
		m.AuthenticatedData = b.AD && (req.AuthenticatedData || opt != nil && opt.Do())
	}
	if b.WrongID {
		m.Id++
	}
	if b.WrongQuestion {
		m.Question[0].Name = "wrong.invalid."
	}
	size := dns.MinMsgSize
	if opt != nil {
		m.SetEdns0(4096, opt.Do())
		size = max(size, int(opt.UDPSize()))
	}
	if !tcp {
		m.Truncate(size)
	}
	return m
}
