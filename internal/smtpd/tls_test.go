package smtpd_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestImplicitTLS(t *testing.T) {
	certified := httptest.NewTLSServer(nil)
	defer certified.Close()
	f := start(t, func(s *settings) {
		s.listener = func(l net.Listener) net.Listener {
			return tls.NewListener(l, &tls.Config{Certificates: certified.TLS.Certificates})
		}
	})
	conn, err := tls.Dial("tcp", f.tcp, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	c := &client{t, conn, bufio.NewReader(conn)}
	c.send("EHLO c.test\r\nMAIL FROM:<a@c.test> SMTPUTF8\r\nRCPT TO:<ü@local.test>\r\nDATA\r\n\r\nhi\r\n.\r\nQUIT\r\n")
	c.expect("220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 ")
	if _, text := f.only(); !strings.Contains(text, " with UTF8SMTPS id ") {
		t.Errorf("trace: %s", text)
	}
}

// TestContextClosesListener: sessions go on, new ones do not come.
func TestContextClosesListener(t *testing.T) {
	f := start(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.server.ServeTCP(ctx, l) }()
	other := *f
	other.tcp = l.Addr().String()
	c := other.dial("tcp")
	c.expect("220 ")
	cancel()
	if err := <-served; err != nil {
		t.Errorf("serve: %v", err)
	}
	c.send("NOOP\r\n")
	c.expect("250 ")
	if late, err := net.Dial("tcp", other.tcp); err == nil {
		late.Close()
		t.Error("listener is still open")
	}
}

func TestServeAfterShutdown(t *testing.T) {
	f := start(t, nil)
	if err := f.server.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.server.ServeTCP(context.Background(), l); err != nil {
		t.Errorf("serve: %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("listener is open")
	}
}
