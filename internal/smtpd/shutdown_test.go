package smtpd_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/queue"
)

// gatedStore lets commits through one by one.
type gatedStore struct {
	queue.Store
	reached chan struct{} // one for each commit that waits
	open    chan struct{}
}

func newGatedStore(s queue.Store) *gatedStore {
	return &gatedStore{Store: s, reached: make(chan struct{}, 10), open: make(chan struct{})}
}

func (s *gatedStore) Create(ctx context.Context) (queue.Draft, error) {
	d, err := s.Store.Create(ctx)
	return &gatedDraft{d, s}, err
}

type gatedDraft struct {
	queue.Draft
	store *gatedStore
}

func (d *gatedDraft) Commit(ctx context.Context, m *queue.Message, destinations []string) (queue.ID, error) {
	d.store.reached <- struct{}{}
	select {
	case <-d.store.open:
		return d.Draft.Commit(ctx, m, destinations)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func gated(gate **gatedStore) func(*settings) {
	return func(s *settings) {
		s.wrap = func(store queue.Store) queue.Store {
			*gate = newGatedStore(store)
			return *gate
		}
	}
}

func TestShutdownLetsMessagesFinish(t *testing.T) {
	var gate *gatedStore
	f := start(t, gated(&gate))
	idle, inBody, inChunk, committing, local := f.dial("tcp"), f.dial("tcp"), f.dial("tcp"), f.dial("tcp"), f.dial("unix")
	idle.expect("220 ")
	inBody.send(intro + "DATA\r\nSubject: x\r\n\r\nhi\r\n")
	inBody.expect("220 ", "250 ", "250 ", "250 ", "354 ")
	inChunk.send(intro + "BDAT 5\r\nhelloBDAT 100 LAST\r\nmore")
	inChunk.expect("220 ", "250 ", "250 ", "250 ", "250 ")
	for _, c := range []*client{committing, local} {
		c.send(intro + "DATA\r\n")
		c.expect("220 ", "250 ", "250 ", "250 ", "354 ")
		c.send("Subject: x\r\n\r\nhi\r\n.\r\n")
		<-gate.reached
	}

	stopped := make(chan error, 1)
	go func() { stopped <- f.server.Shutdown(context.Background()) }()
	for _, c := range []*client{idle, inBody, inChunk} {
		c.expect("421 4.3.2")
		c.closed()
	}
	select {
	case err := <-stopped:
		t.Fatalf("shutdown did not wait: %v", err)
	default:
	}
	if c, err := net.Dial("tcp", f.tcp); err == nil {
		c.Close()
		t.Error("listener is still open")
	}
	close(gate.open)
	for _, c := range []*client{committing, local} {
		c.expect("250 2.0.0 Ok: queued as ", "421 4.3.2")
		c.closed()
	}
	if err := <-stopped; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if n := len(f.messages()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestShutdownGivesUp(t *testing.T) {
	var gate *gatedStore
	f := start(t, gated(&gate))
	c := f.dial("tcp")
	c.send(intro + "DATA\r\nSubject: x\r\n\r\nhi\r\n.\r\n")
	<-gate.reached
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown: %v", err)
	}
	rest, _ := io.ReadAll(c.r)
	if strings.Contains(string(rest), "queued") || len(f.messages()) != 0 {
		t.Errorf("message taken: %q", rest)
	}
}

func TestConnectionLimits(t *testing.T) {
	f := start(t, func(s *settings) {
		s.smtpd.MaxConnections, s.smtpd.MaxLocalConnections = 2, 2
		s.listener = func(l net.Listener) net.Listener { return remoteListener{l} }
		s.smtpd.MaxPerClient = 1
	})
	first := f.dial("tcp")
	first.expect("220 ")
	second := f.dial("tcp")
	second.expect("421 4.7.0")
	second.closed()
	first.send("QUIT\r\n")
	first.expect("221 ")
	first.closed()
	// The place is free once the server has noticed the end too.
	for deadline := time.Now().Add(patience); ; {
		if strings.HasPrefix(f.dial("tcp").reply(), "220 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("place was not given back")
		}
	}
	root := []*client{f.dial("unix"), f.dial("unix"), f.dial("unix")}
	root[0].expect("220 ")
	root[1].expect("220 ")
	root[2].expect("421 4.3.2")
}

// remoteListener makes clients look like those of another host.
type remoteListener struct{ net.Listener }

type remoteConn struct{ net.Conn }

func (remoteConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 99} }

func (l remoteListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return remoteConn{c}, nil
}

func TestRemoteClients(t *testing.T) {
	f := start(t, func(s *settings) {
		s.listener = func(l net.Listener) net.Listener { return remoteListener{l} }
	})
	c := f.dial("tcp")
	c.send("EHLO c\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<x@elsewhere.test>\r\nRCPT TO:<bob>\r\nRCPT TO:<postmaster>\r\n" +
		"RCPT TO:<b@LOCAL.test>\r\nDATA\r\n\r\nhi\r\n.\r\n")
	c.expect("220 ", "250 ", "250 ", "554 5.7.1", "501 ", "250 ", "250 ", "354 ", "250 ")
	m, text := f.only()
	if len(m.Recipients) != 2 || m.Recipients[0].Address.String() != "postmaster@origin.test" {
		t.Errorf("recipients %v", m.Recipients)
	}
	if !strings.Contains(text, "from c ([192.0.2.1])") {
		t.Errorf("trace: %s", text)
	}
}

func TestIdleTimeout(t *testing.T) {
	f := start(t, func(s *settings) { s.smtpd.CommandTimeout = 20 * time.Millisecond })
	c := f.dial("tcp")
	c.expect("220 ", "421 4.4.2")
	c.closed()
}

// panickyStore fails in the worst way.
type panickyStore struct{ queue.Store }

func (panickyStore) Create(context.Context) (queue.Draft, error) { panic("create") }

func TestPanicEndsOnlyItsSession(t *testing.T) {
	for _, data := range []string{"DATA\r\nhi\r\n.\r\n", "BDAT 2 LAST\r\nhi"} {
		f := start(t, func(s *settings) {
			s.wrap = func(store queue.Store) queue.Store { return panickyStore{store} }
		})
		c := f.dial("tcp")
		c.send(intro + data)
		c.expect("220 ", "250 ", "250 ", "250 ")
		if r := c.reply(); strings.HasPrefix(r, "354") {
			c.expect("421 ")
		} else if !strings.HasPrefix(r, "421 ") {
			t.Errorf("reply %q", r)
		}
		f.dial("tcp").expect("220 ")
	}
}

func TestStorageTrouble(t *testing.T) {
	for err, want := range map[error]string{queue.ErrNoSpace: "452 4.3.1", queue.ErrFailed: "451 4.3.0"} {
		f := start(t, func(s *settings) {
			s.wrap = func(store queue.Store) queue.Store { return failingStore{store, err} }
		})
		c := f.dial("tcp")
		c.send(intro + "DATA\r\nhi\r\n.\r\n")
		c.expect("220 ", "250 ", "250 ", "250 ", "354 ", want)
	}
}

type failingStore struct {
	queue.Store
	err error
}

func (s failingStore) Create(context.Context) (queue.Draft, error) { return nil, s.err }
