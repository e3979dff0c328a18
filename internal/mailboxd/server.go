package mailboxd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/delivery/local"
	"postrider/internal/peercred"
)

const (
	// deliveryTime bounds one delivery, the wait for locks included.
	deliveryTime = 5 * time.Minute
	// turnTime bounds the wait for another delivery to the same user.
	turnTime = 30 * time.Second
	// requestTime bounds the wait for an envelope.
	requestTime = 10 * time.Second
	// maxConnections served at once; others wait to be accepted.
	maxConnections = 64
)

// Settings are what a Server takes from the configuration.
type Settings struct {
	// Template of mailboxes and Hostname, as in local.Options.
	Template, Hostname string
	// Spool is the directory whose owner may ask for deliveries.
	Spool string
}

// Server is the helper. Its fields are set before Serve and not changed after.
type Server struct {
	// Load gives the settings in effect; it is called for each request.
	Load func() (Settings, error)
	// Idle ends Serve after so long without a request; zero for never.
	Idle time.Duration
	// Stderr gets what delivering processes log.
	Stderr io.Writer
	Logger *slog.Logger

	turns turns
}

// Inherited makes a listener of what a helper is started with as standard input:
// a listening socket, from a service manager, or the socket of a Helper. In the
// first case own is true: what is not accepted is served by the next process.
func Inherited(stdin *os.File) (l net.Listener, own bool, err error) {
	listening, err := unix.GetsockoptInt(int(stdin.Fd()), unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return nil, false, fmt.Errorf("standard input is not a socket; the helper is started by postrider-local.socket or by the daemon: %w", err)
	}
	if listening != 0 {
		l, err = net.FileListener(stdin)
		return l, true, err
	}
	control, err := unixConn(stdin)
	if err != nil {
		return nil, false, fmt.Errorf("standard input: %w", err)
	}
	return &handed{control}, false, nil
}

// Serve delivers until ctx ends, the listener does, or there was nothing to do
// for Idle. It returns when the deliveries under way have ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	var sessions sync.WaitGroup
	defer sessions.Wait()
	slots := make(chan struct{}, maxConnections)
	for {
		slots <- struct{}{}
		conn, err := s.accept(l)
		switch {
		case ctx.Err() != nil && err != nil, errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			<-slots
			if len(slots) == 0 {
				return nil
			}
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		sessions.Go(func() {
			defer func() { <-slots }()
			s.session(ctx, conn)
		})
	}
}

func (s *Server) accept(l net.Listener) (net.Conn, error) {
	if timed, ok := l.(interface{ SetDeadline(time.Time) error }); ok && s.Idle > 0 {
		if err := timed.SetDeadline(time.Now().Add(s.Idle)); err != nil {
			return nil, err
		}
	}
	return l.Accept()
}

// session serves one connection. What is no proper request gets no answer.
func (s *Server) session(ctx context.Context, c net.Conn) {
	defer c.Close()
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return
	}
	settings, err := s.Load()
	if err == nil {
		err = checkPeer(conn, settings.Spool)
	}
	var env local.Envelope
	if err == nil {
		env, err = s.receive(conn)
	}
	if err != nil {
		s.Logger.Warn("request not served", "error", err)
		return
	}
	refused, err := s.deliver(ctx, settings, env, conn)
	if err == nil && refused != nil {
		err = writeAnswer(conn, *refused)
	}
	if err != nil {
		s.Logger.Warn("delivery broke off", "to", env.To.String(), "error", err)
	}
}

func (s *Server) receive(conn net.Conn) (local.Envelope, error) {
	if err := conn.SetDeadline(time.Now().Add(requestTime)); err != nil {
		return local.Envelope{}, err
	}
	env, err := readRequest(conn)
	if err != nil {
		return env, fmt.Errorf("read request: %w", err)
	}
	return env, conn.SetDeadline(time.Time{})
}

// deliver gives an outcome only if no process was started that gives its own.
func (s *Server) deliver(ctx context.Context, settings Settings, env local.Envelope, conn *net.UnixConn) (*local.Outcome, error) {
	mailboxes, err := local.New(local.Options{Template: settings.Template, Hostname: settings.Hostname})
	if err != nil {
		o := temporary("4.3.5", fmt.Errorf("local.mailbox: %w", err))
		return &o, nil
	}
	box, refused := mailboxes.Find(env.To)
	if refused != nil {
		return refused, nil
	}
	leave, err := s.turns.enter(ctx, box.Owner.UID)
	if err != nil {
		o := temporary("4.3.2", fmt.Errorf("mailbox %s: %w", box.Path, err))
		return &o, nil
	}
	defer leave()
	p, err := become(box, job{Envelope: env, Owner: box.Owner, Settings: settings}, conn, s.Stderr)
	if err != nil {
		o := temporary("4.3.0", fmt.Errorf("deliver as user %s: %w", box.Owner.Name, err))
		return &o, nil
	}
	return nil, p.wait()
}

// checkPeer asks the kernel who made the connection.
func checkPeer(conn *net.UnixConn, spool string) error {
	cred, err := peercred.Of(conn)
	if err != nil {
		return err
	}
	if cred.Uid == 0 {
		return nil
	}
	info, err := os.Stat(spool)
	if err != nil {
		return fmt.Errorf("find owner of spool: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != cred.Uid {
		return fmt.Errorf("uid %d, pid %d is not the daemon: it does not own %s", cred.Uid, cred.Pid, spool)
	}
	return nil
}

// turns makes the deliveries for one user follow each other: they would wait for
// each other's locks, and a user who stops them holds up no other.
type turns struct {
	mu   sync.Mutex
	free map[int]chan struct{} // by uid; has room while nobody delivers
}

func (t *turns) enter(ctx context.Context, uid int) (leave func(), err error) {
	turn := t.of(uid)
	timer := time.NewTimer(turnTime)
	defer timer.Stop()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-timer.C:
		return nil, fmt.Errorf("another delivery was still under way after %v", turnTime)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (t *turns) of(uid int) chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free == nil {
		t.free = make(map[int]chan struct{})
	}
	if t.free[uid] == nil {
		t.free[uid] = make(chan struct{}, 1)
	}
	return t.free[uid]
}
