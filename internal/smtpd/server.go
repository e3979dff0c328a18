package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"syscall"

	"github.com/emersion/go-smtp"
)

// Server serves SMTP on any number of listeners. It is safe for concurrent use.
type Server struct {
	opts    Options
	origin  string
	engine  *smtp.Server
	tls     *tls.Config
	buffers sync.Pool // of *buffers
	// Who may connect to the TCP listeners and to the submission socket.
	network, local admission
	// stopping ends when Shutdown begins.
	stopping context.Context
	stop     context.CancelFunc
	// life ends when Shutdown gives up waiting.
	life context.Context
	end  context.CancelFunc

	loops sync.WaitGroup // Serve calls
	// intake is held for reading while a message is taken in: the engine does not
	// wait for the goroutine that takes in chunks.
	intake sync.RWMutex
	quit   sync.Once
	idle   chan struct{} // closed when nothing is left to wait for

	mu        sync.Mutex
	closing   bool
	listeners map[net.Listener]struct{}
	guards    map[*guard]struct{}
}

// New makes a server; it listens nowhere yet.
func New(o Options) *Server {
	s := &Server{
		opts:      o.withDefaults(),
		origin:    o.Intake.Origin(),
		listeners: map[net.Listener]struct{}{},
		guards:    map[*guard]struct{}{},
		idle:      make(chan struct{}),
	}
	s.buffers.New = func() any { return &buffers{out: make([]byte, 0, 512)} }
	s.network = admission{max: o.MaxConnections, perClient: o.MaxPerClient, byClient: map[string]int{}}
	s.local = admission{max: o.MaxLocalConnections, perClient: o.MaxPerUser, byClient: map[string]int{}}
	if o.TLS != nil {
		s.tls = o.TLS.Clone()
		s.tls.MinVersion = max(s.tls.MinVersion, tls.VersionTLS12)
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.stopping, s.stop = context.WithCancel(s.life)
	s.engine = smtp.NewServer(smtp.BackendFunc(s.newSession))
	s.engine.Domain = o.Hostname
	s.engine.EnableSMTPUTF8 = true
	s.engine.EnableDSN = true
	// Sizes, line lengths and time limits are the guard's: the engine's own ones
	// leave a connection open when it no longer knows where the next command is.
	s.engine.MaxLineLength = 0
	// TLS is the guard's, too, and so is the question whether AUTH may come.
	s.engine.AllowInsecureAuth = true
	s.engine.ErrorLog = engineLog{s.opts.Logger}
	return s
}

// ServeUnix takes mail from the programs of this host until ctx is done or
// Shutdown is called; it returns nil then. It closes l.
func (s *Server) ServeUnix(ctx context.Context, l *net.UnixListener) error {
	return s.serve(ctx, &listener{Listener: l, srv: s, admit: &s.local})
}

// ServeTCP offers a service over the network until ctx is done or Shutdown is
// called; it returns nil then. It closes l. A submission service needs Options.TLS
// and Options.Logins.
func (s *Server) ServeTCP(ctx context.Context, l net.Listener, service Service) error {
	if service.needsLogin() && (s.tls == nil || s.opts.Logins == nil) {
		l.Close()
		return fmt.Errorf("listener %s: a submission service needs a certificate and a file of logins", l.Addr())
	}
	return s.serve(ctx, &listener{Listener: l, srv: s, admit: &s.network, service: service})
}

func (s *Server) serve(ctx context.Context, l *listener) error {
	defer l.Close()
	if !s.addListener(l) {
		return nil
	}
	defer s.loops.Done()
	defer s.removeListener(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()

	err := s.engine.Serve(l)
	if err == nil || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return fmt.Errorf("accept connections on %s: %w", l.Addr(), err)
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.loops.Add(1)
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, l)
}

// join makes an admitted connection known; nil if the server is closing.
func (s *Server) join(c net.Conn, p *peer, a *admission) *guard {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		a.leave(p)
		c.Close()
		return nil
	}
	mem := s.buffers.Get().(*buffers)
	mem.out = mem.out[:0]
	g := &guard{Conn: c, raw: c, srv: s, peer: p, admit: a, mem: mem}
	s.guards[g] = struct{}{}
	return g
}

func (s *Server) leave(g *guard) {
	g.admit.leave(g.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.guards, g)
}

// Shutdown closes the listeners and ends the sessions: one whose message has come
// in whole is let finish and gets its reply, every other gets a 421. It waits for
// all of them. If ctx is done before, the rest is cut off and ctx's error returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginShutdown()
	s.quit.Do(func() { go s.waitIdle() })
	select {
	case <-s.idle:
		s.end()
		return nil
	case <-ctx.Done():
	}
	s.end()
	s.cutAll()
	<-s.idle
	return ctx.Err()
}

func (s *Server) waitIdle() {
	defer close(s.idle)
	s.loops.Wait()
	s.engine.Shutdown(context.Background()) // waits for its connections
	s.intake.Lock()
	defer s.intake.Unlock()
}

func (s *Server) beginShutdown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing = true
	s.stop()
	for l := range s.listeners {
		l.Close()
	}
	for g := range s.guards {
		g.interrupt()
	}
}

func (s *Server) cutAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for g := range s.guards {
		g.cut()
	}
}

// engineLog carries what the engine has to say, panics above all, into our log.
// That a client has gone without waiting for the last reply is no news.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Printf(format string, v ...any) { l.say(fmt.Sprintf(format, v...), v) }
func (l engineLog) Println(v ...any)               { l.say(fmt.Sprint(v...), v) }

func (l engineLog) say(text string, v []any) {
	level := slog.LevelError
	for _, arg := range v {
		if err, ok := arg.(error); ok && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)) {
			level = slog.LevelDebug
		}
	}
	l.log.Log(context.Background(), level, "smtp: "+text)
}
