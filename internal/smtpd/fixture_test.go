package smtpd_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/smtpd"
	"postrider/internal/submission"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

type router struct{}

func (router) Destination(_, to address.Address) string { return strings.ToLower(to.Domain) }

// fixture is a server with a real spool behind it.
type fixture struct {
	t      testing.TB
	store  queue.Store
	server *smtpd.Server
	tcp    string
	socket string
}

type settings struct {
	smtpd  smtpd.Options
	intake submission.Options
	wrap   func(queue.Store) queue.Store
	// listener wraps the TCP listener.
	listener func(net.Listener) net.Listener
	service  smtpd.Service
}

func start(t testing.TB, set func(*settings)) *fixture {
	t.Helper()
	dir := t.TempDir()
	bolt, err := boltstore.Open(filepath.Join(dir, "queue.db"), boltstore.Options{FreeFloor: 1, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bolt.Close() })
	log := slog.New(slog.DiscardHandler)
	o := settings{
		smtpd: smtpd.Options{Hostname: "mx.test", Logger: log},
		intake: submission.Options{Router: router{}, Hostname: "mx.test", Origin: "origin.test",
			LocalDomains: []string{"local.test"}, Lifetime: time.Hour, BounceLifetime: time.Hour, Logger: log},
		wrap:     func(s queue.Store) queue.Store { return s },
		listener: func(l net.Listener) net.Listener { return l },
	}
	if set != nil {
		set(&o)
	}
	o.intake.Store = o.wrap(bolt)
	o.intake.MaxSize, o.intake.MaxRecipients = o.smtpd.MaxSize, o.smtpd.MaxRecipients
	o.smtpd.Intake = submission.New(o.intake)
	f := &fixture{t: t, store: bolt, server: smtpd.New(o.smtpd)}
	f.listen(o.listener, o.service)
	return f
}

func (f *fixture) listen(wrap func(net.Listener) net.Listener, service smtpd.Service) {
	f.t.Helper()
	// The path of a socket is short; that of the test's directory may not be.
	dir, err := os.MkdirTemp("", "smtpd")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { os.RemoveAll(dir) })
	f.socket = filepath.Join(dir, "s")
	unix, err := net.ListenUnix("unix", &net.UnixAddr{Name: f.socket, Net: "unix"})
	if err != nil {
		f.t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.tcp = tcp.Addr().String()
	served := make(chan error, 2)
	go func() { served <- f.server.ServeUnix(context.Background(), unix) }()
	go func() { served <- f.server.ServeTCP(context.Background(), wrap(tcp), service) }()
	f.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.server.Shutdown(ctx); err != nil {
			f.t.Errorf("shutdown: %v", err)
		}
		for range 2 {
			if err := <-served; err != nil {
				f.t.Errorf("serve: %v", err)
			}
		}
	})
}

// messages reads the queue.
func (f *fixture) messages() []queue.Entry {
	f.t.Helper()
	entries, _, err := f.store.List(context.Background(), queue.Filter{}, 0, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	return entries
}

// only gives the one message in the queue and its text.
func (f *fixture) only() (*queue.Message, string) {
	f.t.Helper()
	entries := f.messages()
	if len(entries) != 1 {
		f.t.Fatalf("%d messages in the queue, want 1", len(entries))
	}
	r, err := f.store.Body(context.Background(), entries[0].Message.ID)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return entries[0].Message, string(b)
}

// client is a raw SMTP client.
type client struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

func (f *fixture) dial(network string) *client {
	f.t.Helper()
	addr := f.tcp
	if network == "unix" {
		addr = f.socket
	}
	conn, err := net.Dial(network, addr)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return &client{f.t, conn, bufio.NewReader(conn)}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads one whole reply and gives its last line.
func (c *client) reply() string {
	c.t.Helper()
	line, err := c.next()
	if err != nil {
		c.t.Fatalf("no reply: %v", err)
	}
	return line
}

func (c *client) next() (string, error) {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || len(line) < 4 || line[3] != '-' {
			return strings.TrimRight(line, "\r\n"), err
		}
	}
}

func (c *client) expect(prefixes ...string) (last string) {
	c.t.Helper()
	for _, p := range prefixes {
		if last = c.reply(); !strings.HasPrefix(last, p) {
			c.t.Fatalf("got reply %q, want %q", last, p)
		}
	}
	return last
}

// closed waits for the end of the connection.
func (c *client) closed() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if errors.Is(err, os.ErrDeadlineExceeded) || len(rest) > 0 {
		c.t.Fatalf("connection not closed: %q, %v", rest, err)
	}
}
