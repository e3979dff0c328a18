package smtpd_test

import (
	"context"
	"net"
	"testing"

	"postrider/internal/smtpd"
)

// TestContextClosesListener: sessions go on, new ones do not come.
func TestContextClosesListener(t *testing.T) {
	f := start(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- f.server.ServeTCP(ctx, l, smtpd.Relay) }()
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
	if err := f.server.ServeTCP(context.Background(), l, smtpd.Relay); err != nil {
		t.Errorf("serve: %v", err)
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("listener is open")
	}
}
