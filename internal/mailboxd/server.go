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
	// requestTime bounds the wait for a request.
	requestTime = 10 * time.Second
	// maxConnections served at once; others wait to be accepted.
	maxConnections = 64
)

// Server is the helper. Its fields are set before Serve and not changed after.
type Server struct {
	// Load gives the settings in effect; it is called for each request.
	Load func() (Settings, error)
	// Idle ends Serve after so long without a request; zero for never.
	Idle time.Duration
	// Stderr gets what delivering processes log.
	Stderr io.Writer
	Logger *slog.Logger

	turns local.Turns[place]
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
	var req request
	if err == nil {
		req, err = s.receive(conn)
	}
	if err != nil {
		s.Logger.Warn("request not served", "error", err)
		return
	}
	known, err := s.serve(ctx, settings, req, conn)
	if err == nil && known != nil {
		err = writeAnswer(conn, *known)
	}
	if err != nil {
		s.Logger.Warn("request broke off", "request", req.String(), "error", err)
	}
}

func (s *Server) receive(conn net.Conn) (request, error) {
	if err := conn.SetDeadline(time.Now().Add(requestTime)); err != nil {
		return request{}, err
	}
	req, err := readRequest(conn)
	if err != nil {
		return req, fmt.Errorf("read request: %w", err)
	}
	return req, conn.SetDeadline(time.Time{})
}

// serve gives an outcome only if no process was started that gives its own.
func (s *Server) serve(ctx context.Context, settings Settings, req request, conn *net.UnixConn) (*local.Outcome, error) {
	mailboxes, err := local.New(settings.Options())
	if err != nil {
		o := temporary("4.3.5", fmt.Errorf("local.mailbox: %w", err))
		return &o, nil
	}
	plan, known := planOf(mailboxes, req)
	if known != nil {
		return known, nil
	}
	leave, err := s.turns.Enter(ctx, place{plan.Owner.UID, plan.Command}, turnOf(plan))
	if err != nil {
		o := temporary("4.3.2", fmt.Errorf("delivery as user %s waits: %w; see what holds them up: ps -u %s", plan.Owner.Name, err, plan.Owner.Name))
		return &o, nil
	}
	defer leave()
	p, err := become(job{Request: req, Owner: plan.Owner, Settings: settings, Environment: local.Locale(), Limit: plan.Limit}, plan.Group, conn, s.Stderr)
	if err != nil {
		o := temporary("4.3.0", fmt.Errorf("become user %s: %w", plan.Owner.Name, err))
		return &o, nil
	}
	if err := p.wait(); err != nil {
		// Whether it gave an outcome nobody knows; if so, this one is not read.
		o := temporary("4.3.0", fmt.Errorf("delivery as user %s was cut short: %w", plan.Owner.Name, err))
		return &o, nil
	}
	return nil, nil
}

// planOf says who has to do what is asked for, or answers it.
func planOf(mailboxes *local.Mailboxes, req request) (local.Job, *local.Outcome) {
	switch req.Kind {
	case kindForward:
		return mailboxes.PlanForward(req.User)
	case kindInclude:
		return mailboxes.PlanInclude(req.User, req.Path)
	}
	return mailboxes.Plan(req.Envelope)
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
