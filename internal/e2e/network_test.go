package e2e

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"

	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
)

// network is the world around a host: a name server that knows some domains, and
// their mail servers.
type network struct {
	t    *testing.T
	dns  *dnstest.Server
	port uint16

	mu   sync.Mutex
	zone string
	last byte // last octet given out
}

// networks counts networks. Each has a port of its own, below those that the
// kernel gives out, and addresses that depend on the process: neither tests nor
// runs of tests get into each other's way.
var networks atomic.Uint32

const firstPort = 20000

func newNetwork(t *testing.T) *network {
	t.Helper()
	return &network{t: t, dns: dnstest.New(t, ""), port: uint16(firstPort + networks.Add(1))}
}

// address gives out an address with the network's port.
func (n *network) address() netip.AddrPort {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.last++
	pid := os.Getpid()
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, byte(pid>>8) | 0x80, byte(pid), n.last}), n.port)
}

// domain makes a domain with one mail server and gives the address of that.
func (n *network) domain(name string) netip.AddrPort {
	at := n.address()
	n.record("%[1]s. 300 IN MX 10 mx.%[1]s.\nmx.%[1]s. 300 IN A %[2]s\n", name, at.Addr())
	return at
}

// record adds to the zone.
func (n *network) record(format string, args ...any) {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.zone += fmt.Sprintf(format, args...)
	if err := n.dns.SetZone(n.zone); err != nil {
		n.t.Fatal(err)
	}
}

// sink makes a domain with a server that takes what its hooks let pass.
func (n *network) sink(domain string, o smtptest.Options) *smtptest.Sink {
	n.t.Helper()
	o.Addr = n.domain(domain).String()
	if o.Domain == "" {
		o.Domain = "mx." + domain
	}
	return n.start(o)
}

// start starts a server at an address where another may have been. A program that
// some other test is starting at this moment may hold that one's socket for an
// instant after it was closed.
func (n *network) start(o smtptest.Options) (s *smtptest.Sink) {
	n.t.Helper()
	until(n.t, "the address "+o.Addr+" is free", func() bool {
		var err error
		s, err = smtptest.StartSink(o)
		return err == nil
	})
	n.t.Cleanup(s.Close)
	return s
}

// script makes a domain with a server that fails where it is told to.
func (n *network) script(domain string, s smtptest.Script) *smtptest.Scripted {
	n.t.Helper()
	srv, err := smtptest.StartScriptAt(n.domain(domain).String(), s, nil, false)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(srv.Close)
	return srv
}

// refusing makes a domain that refuses every recipient for good.
func (n *network) refusing(domain string) *smtptest.Sink {
	n.t.Helper()
	return n.sink(domain, smtptest.Options{OnRcpt: func(_ *smtptest.Message, to string, _ int) error {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<" + to + ">: no such user here"}
	}})
}

// busy makes a domain that puts every recipient off, for as long as it says so.
func (n *network) busy(domain string, still func() bool) *smtptest.Sink {
	n.t.Helper()
	return n.sink(domain, smtptest.Options{OnRcpt: func(*smtptest.Message, string, int) error {
		if !still() {
			return nil
		}
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "grey-listed, come again"}
	}})
}

func always() bool { return true }

// copies counts the messages with the text.
func copies(s *smtptest.Sink, text string) int {
	n := 0
	for _, m := range s.Messages() {
		if bytes.Contains(m.Data, []byte(text)) {
			n++
		}
	}
	return n
}

// bodiesWith counts the contents that a scripted server got whole.
func bodiesWith(s *smtptest.Scripted, text string) int {
	n := 0
	for _, b := range s.Bodies() {
		if strings.Contains(b, text) {
			n++
		}
	}
	return n
}
