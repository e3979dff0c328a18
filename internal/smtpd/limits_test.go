package smtpd_test

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/smtpd"
	"postrider/queue"
)

// afar makes clients those of a remote address.
func afar(s *settings) {
	s.listener = func(l net.Listener) net.Listener { return remoteListener{l} }
}

// TestNoOpenRelay: no way of writing an address leads a stranger's mail elsewhere.
func TestNoOpenRelay(t *testing.T) {
	addresses := []string{
		"x@elsewhere.test", `"x@elsewhere.test"`, "x@elsewhere.test@elsewhere.test", "@local.test:x@elsewhere.test", "@local.test,@a.test:x@elsewhere.test",
		"x@[192.0.2.9]", "x@[127.0.0.1]", "x@local.test.elsewhere.test", "x@sub.local.test", "x@local.test@elsewhere.test",
		"x@elsewhere.test\x00@local.test", "x@elsewhere.test@local.test", "@a.test:x@elsewhere.test@local.test", "x@elsewhere.test,y@local.test", "postmaster@elsewhere.test", "elsewhere.test!x", "x%elsewhere.test",
	}
	f := start(t, afar)
	c := f.dial("tcp")
	c.send("EHLO c.test\r\n")
	c.expect("220 ", "250 ")
	for _, from := range []string{"", "b@local.test", "postmaster@local.test"} {
		c.send("RSET\r\nMAIL FROM:<" + from + ">\r\n")
		c.expect("250 ", "250 ")
		for _, to := range addresses {
			c.send("RCPT TO:<" + to + ">\r\n")
			if r := c.reply(); !strings.HasPrefix(r, "5") {
				t.Errorf("<%s> is taken: %s", to, r)
			}
		}
		c.send("QUIT\r\n")
		c.expect("221 ")
		c = f.dial("tcp")
		c.send("EHLO c.test\r\n")
		c.expect("220 ", "250 ")
	}
}

func TestTrustedNetworks(t *testing.T) {
	for _, tt := range []struct{ network, reply string }{{"192.0.2.0/24", "250 "}, {"192.0.3.0/24", "554 5.7.1"}} {
		f := start(t, func(s *settings) {
			afar(s)
			s.intake.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix(tt.network)}
		})
		c := f.dial("tcp")
		c.send("EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<x@elsewhere.test>\r\n")
		c.expect("220 ", "250 ", "250 ", tt.reply)
	}
}

// TestTrustIsNoLogin: a submission service wants one from hosts that may relay.
func TestTrustIsNoLogin(t *testing.T) {
	s := startSecured(t, smtpd.Submission, func(o *settings) {
		afar(o)
		o.intake.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	})
	c := s.encrypted()
	c.send("MAIL FROM:<a@c.test>\r\n")
	c.expect("530 5.7.0")
}

func TestGivenUp(t *testing.T) {
	const envelope = "EHLO c.test\r\nMAIL FROM:<a@c.test>\r\n"
	tests := []struct {
		name, send string
		before     int // replies before the last word
		last       string
	}{
		{"recipients", envelope + strings.Repeat("RCPT TO:<x@elsewhere.test>\r\n", 200), 3 + 101, "421 4.7.0 Too many rejected recipients"},
		{"errors of all kinds", "EHLO c.test\r\n" + strings.Repeat("MAIL FROM:<a@b.test> SIZE=x SIZE=y\r\nDATA\r\n", 50), 2 + 20, "421 4.7.0 Too many errors"},
		{"unknown commands", "EHLO c.test\r\n" + strings.Repeat("WHAT\r\n", 50), 2 + 20, "421 4.7.0 Too many errors"},
		{"no command at all", "EHLO c.test\r\n" + strings.Repeat("\r\nNO\r\n", 25), 2 + 20, "421 4.7.0 Too many errors"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := start(t, afar)
			c := f.dial("tcp")
			c.send(tt.send)
			for range tt.before {
				if r := c.reply(); strings.HasPrefix(r, "421") {
					t.Fatalf("too early: %s", r)
				}
			}
			for {
				r, err := c.next()
				if strings.HasPrefix(r, tt.last) {
					break
				}
				if err != nil || !strings.HasPrefix(r, "5") {
					t.Fatalf("got %q, %v; want %q", r, err, tt.last)
				}
			}
			c.closed()
		})
	}
}

// TestMessagesPerConnection: strangers connect again now and then, this host's
// clients need not.
func TestMessagesPerConnection(t *testing.T) {
	const message = "MAIL FROM:<a@c.test>\r\nRCPT TO:<b@local.test>\r\nDATA\r\n\r\nhi\r\n.\r\n"
	for name, tt := range map[string]struct {
		set   func(*settings)
		reply string
	}{"stranger": {afar, "421 4.7.0 Too many messages"}, "loopback": {func(*settings) {}, "250 "}} {
		t.Run(name, func(t *testing.T) {
			f := start(t, func(s *settings) {
				tt.set(s)
				s.wrap = func(s queue.Store) queue.Store { return &nullStore{Store: s} }
			})
			c := f.dial("tcp")
			c.send("EHLO c.test\r\n")
			c.expect("220 ", "250 ")
			for range 1000 {
				c.send(message)
				c.expect("250 ", "250 ", "354 ", "250 ")
			}
			c.send("MAIL FROM:<a@c.test>\r\n")
			c.expect(tt.reply)
		})
	}
}

// TestLimitOverAllListeners: one more listener makes no more room.
func TestLimitOverAllListeners(t *testing.T) {
	f := start(t, func(s *settings) { s.smtpd.MaxConnections = 1 })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- f.server.ServeTCP(t.Context(), l, smtpd.Relay) }()
	f.dial("tcp").expect("220 ")
	second := *f
	second.tcp = l.Addr().String()
	c := second.dial("tcp")
	c.expect("421 4.3.2")
	c.closed()
	l.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// prompted lets a connection through when its client has already sent.
type prompted struct {
	net.Listener
	sent chan struct{}
}

// promptedConn is remote, but its socket can be looked at.
type promptedConn struct {
	remoteConn
	syscall.Conn
}

func (l prompted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	<-l.sent
	return promptedConn{remoteConn{c}, c.(*net.TCPConn)}, nil
}

func TestEarlyTalker(t *testing.T) {
	for _, tt := range []struct{ name, early, trusted, reply string }{
		{"waits", "", "10.0.0.0/8", "220 "},
		{"speaks first", "EHLO c.test\r\n", "10.0.0.0/8", "554 5.5.1"},
		{"trusted", "EHLO c.test\r\n", "192.0.2.0/24", "220 "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sent := make(chan struct{}, 1)
			f := start(t, func(s *settings) {
				s.listener = func(l net.Listener) net.Listener { return prompted{l, sent} }
				s.intake.TrustedNetworks = []netip.Prefix{netip.MustParsePrefix(tt.trusted)}
			})
			c := f.dial("tcp")
			c.send(tt.early)
			sent <- struct{}{}
			if r := c.expect(tt.reply); strings.HasPrefix(r, "554") {
				c.closed()
			}
		})
	}
}

// TestRecipientsOfALocalProgram have a limit too, far above that of the network.
func TestRecipientsOfALocalProgram(t *testing.T) {
	const most, block = 100_000, 1000
	f := start(t, nil)
	c := f.dial("unix")
	c.send("EHLO c.test\r\nMAIL FROM:<a@c.test>\r\n")
	c.expect("220 ", "250 ", "250 ")
	commands := strings.Repeat("RCPT TO:<x@elsewhere.test>\r\n", block)
	for range most / block {
		c.send(commands)
		for range block {
			c.expect("250 ")
		}
	}
	c.send("RCPT TO:<x@elsewhere.test>\r\n")
	c.expect("452 4.5.3")
}
