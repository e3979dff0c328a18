package main

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"sync"

	"github.com/emersion/go-smtp"

	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
)

// world is the network around the host: a name server and three mail servers on
// addresses of the loopback network.
type world struct {
	dns                *dnstest.Server
	port               int
	good, grey, refuse *smtptest.Sink
}

const zone = `
	good.test.      60 IN MX 10 mx.good.test.
	mx.good.test.   60 IN A  127.0.0.2
	grey.test.      60 IN MX 10 mx.grey.test.
	mx.grey.test.   60 IN A  127.0.0.3
	refuse.test.    60 IN MX 10 mx.refuse.test.
	mx.refuse.test. 60 IN A  127.0.0.4
`

func newWorld() (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.dns, err = dnstest.Start("127.0.0.1:0", zone); err != nil {
		return nil, err
	}
	if w.port, err = freePort(); err != nil {
		return nil, err
	}
	ca, err := smtptest.MakeCA()
	if err != nil {
		return nil, err
	}
	start := func(host, ip string, onRcpt func(*smtptest.Message, string, int) error) (*smtptest.Sink, error) {
		conf, err := ca.Issue(smtptest.Leaf{Names: []string{host}})
		if err != nil {
			return nil, err
		}
		return smtptest.StartSink(smtptest.Options{Addr: fmt.Sprintf("%s:%d", ip, w.port), Domain: host, OnRcpt: onRcpt, TLS: conf})
	}
	if w.good, err = start("mx.good.test", "127.0.0.2", nil); err != nil {
		return nil, err
	}
	if w.grey, err = start("mx.grey.test", "127.0.0.3", greyList()); err != nil {
		return nil, err
	}
	w.refuse, err = start("mx.refuse.test", "127.0.0.4", refuseAll)
	return w, err
}

// freePort finds a port that is free on all the loopback addresses.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// greyList puts every recipient off once.
func greyList() func(*smtptest.Message, string, int) error {
	var mu sync.Mutex
	seen := map[string]bool{}
	return func(_ *smtptest.Message, to string, _ int) error {
		mu.Lock()
		defer mu.Unlock()
		if seen[to] {
			return nil
		}
		seen[to] = true
		return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "grey-listed, come again"}
	}
}

func refuseAll(_ *smtptest.Message, to string, _ int) error {
	return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "<" + to + ">: no such user here"}
}

func (w *world) close() {
	if w.dns != nil {
		w.dns.Close()
	}
	for _, s := range []*smtptest.Sink{w.good, w.grey, w.refuse} {
		if s != nil {
			s.Close()
		}
	}
}

// me is the address of whoever runs the demo.
func (s *stage) me() string {
	name := fmt.Sprint(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return name + "@host.demo.test"
}
