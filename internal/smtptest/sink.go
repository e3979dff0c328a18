package smtptest

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/emersion/go-smtp"
)

// Options of a Sink. Hooks may be called concurrently, from different connections.
type Options struct {
	// Addr to listen on; empty means a free port of 127.0.0.1.
	Addr string
	// Domain the server gives as its name; "sink.test" if empty.
	Domain string
	// TLS, if set, is offered by STARTTLS, or demanded at once with ImplicitTLS.
	TLS         *tls.Config
	ImplicitTLS bool
	// Users who may log in, by name, with their passwords; nobody else may send
	// then. Passwords are taken in the clear with PlainAuth only.
	Users     map[string]string
	PlainAuth bool
	// Mechanisms offered: PLAIN and LOGIN if empty.
	Mechanisms []string
	// Extensions to offer.
	DSN, SMTPUTF8 bool
	// MaxMessageBytes is offered as SIZE; MaxRecipients as LIMITS RCPTMAX.
	MaxMessageBytes int64
	MaxRecipients   int
	// OnMail, OnRcpt and OnData, if set, decide on what they get; return a
	// *smtp.SMTPError for a certain reply, one with code 250 to accept with other
	// words. OnRcpt is told how many recipients were accepted before.
	OnMail func(m *Message) error
	OnRcpt func(m *Message, to string, accepted int) error
	OnData func(m *Message) error
	// Discard keeps nothing but the number of messages.
	Discard bool
}

// Message is what a Sink got in one transaction.
type Message struct {
	From string
	Mail smtp.MailOptions
	To   []Recipient
	Data []byte
	// Size of Data, which is empty with Options.Discard.
	Size int64
	// TLS says that it came encrypted; Hello is the client's name, User its login.
	TLS   bool
	Hello string
	User  string
	// Session counts the connections of the sink, from 1.
	Session int
}

// Recipient is one forward-path of a Message.
type Recipient struct {
	Address string
	Options smtp.RcptOptions
}

// Sink is a server that accepts what its hooks let pass. It is safe for concurrent
// use.
type Sink struct {
	opts   Options
	server *smtp.Server
	addr   netip.AddrPort
	// listener is closed besides the server, which does not know it before the
	// goroutine that serves has begun.
	listener net.Listener
	served   sync.WaitGroup

	mu       sync.Mutex
	messages []Message
	count    int
	sessions int
	changed  chan struct{} // closed and renewed with each message
}

// StartSink starts a server. Close ends it.
func StartSink(o Options) (*Sink, error) {
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Domain == "" {
		o.Domain = "sink.test"
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return nil, fmt.Errorf("start mail sink: %w", err)
	}
	s := &Sink{opts: o, addr: l.Addr().(*net.TCPAddr).AddrPort(), changed: make(chan struct{})}
	s.server, s.listener = s.newServer(), l
	if o.ImplicitTLS {
		l = tls.NewListener(l, o.TLS)
	}
	s.served.Go(func() {
		// It ends with Close; what a test misses then, its own checks tell.
		_ = s.server.Serve(l)
	})
	return s, nil
}

// NewSink starts a server that ends with the test.
func NewSink(t TB, o Options) *Sink {
	t.Helper()
	s, err := StartSink(o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(s.Close)
	return s
}

func (s *Sink) newServer() *smtp.Server {
	srv := smtp.NewServer(smtp.BackendFunc(s.newSession))
	srv.Domain = s.opts.Domain
	srv.AllowInsecureAuth = s.opts.PlainAuth
	srv.EnableDSN = s.opts.DSN
	srv.EnableSMTPUTF8 = s.opts.SMTPUTF8
	srv.MaxMessageBytes = s.opts.MaxMessageBytes
	srv.MaxRecipients = s.opts.MaxRecipients
	srv.MaxLineLength = 1 << 20
	// Clients of tests break off in all ways; that is no news.
	srv.ErrorLog = log.New(io.Discard, "", 0)
	if !s.opts.ImplicitTLS {
		srv.TLSConfig = s.opts.TLS
	}
	return srv
}

// Addr is where the server listens.
func (s *Sink) Addr() netip.AddrPort { return s.addr }

// Close ends the server and all its connections.
func (s *Sink) Close() {
	// Closing twice is no mistake here.
	_ = s.listener.Close()
	_ = s.server.Close()
	s.served.Wait()
}

// Messages gives what was accepted so far.
func (s *Sink) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// Count is the number of messages accepted so far.
func (s *Sink) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Sessions is the number of clients that said hello so far; a client that does so
// again after STARTTLS counts twice.
func (s *Sink) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Wait returns once n messages have been accepted, or ctx has ended.
func (s *Sink) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		count, changed := s.count, s.changed
		s.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d messages, got %d: %w", n, count, context.Cause(ctx))
		}
	}
}

func (s *Sink) keep(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.opts.Discard {
		s.messages = append(s.messages, *m)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}
