package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// sinkServer is the process that takes the mail in and throws it away. It does as
// little as it can: it shares the processors with what is measured.
type sinkServer struct {
	down     atomic.Bool // turns everybody away with 421
	finished sync.Pool   // of *sinkSession

	mu       sync.Mutex
	arrivals []int64 // in nanoseconds of Unix time
	want     int
	reached  chan struct{} // closed when want messages are there
	sessions int
	open     int
	most     int // open at once
}

// runSink serves until the other end of stdin closes. It prints the addresses for
// mail and for control.
func runSink(stdin io.Reader, stdout io.Writer) error {
	s := &sinkServer{}
	mail, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer mail.Close()
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer control.Close()
	go accept(mail, s.serve)
	go accept(control, s.serveControl)
	fmt.Fprintln(stdout, mail.Addr(), control.Addr())
	_, err = io.Copy(io.Discard, stdin)
	return err
}

func accept(l net.Listener, serve func(net.Conn)) {
	for {
		c, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			fmt.Fprintln(os.Stderr, "sink:", err)
			return
		}
		go serve(c)
	}
}

func (s *sinkServer) serve(c net.Conn) {
	defer c.Close()
	if s.down.Load() {
		io.WriteString(c, "421 4.3.2 sink.test is closed\r\n")
		return
	}
	s.enter()
	defer s.leave()
	session, ok := s.finished.Get().(*sinkSession)
	if !ok {
		session = &sinkSession{arrived: s.arrived}
	}
	defer s.finished.Put(session)
	session.conn, session.in, session.out = c, nil, session.out[:0]
	session.run()
}

func (s *sinkServer) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	s.open++
	s.most = max(s.most, s.open)
}

func (s *sinkServer) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
}

func (s *sinkServer) arrived() {
	now := time.Now().UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals = append(s.arrivals, now)
	if s.reached != nil && len(s.arrivals) >= s.want {
		close(s.reached)
		s.reached = nil
	}
}

// serveControl answers one command a line: reset, up, down, wait N MILLISECONDS.
func (s *sinkServer) serveControl(c net.Conn) {
	defer c.Close()
	for lines := bufio.NewScanner(c); lines.Scan(); {
		var n, ms int
		switch line := lines.Text(); line {
		case "reset":
			s.reset()
			fmt.Fprintln(c, "ok")
		case "up", "down":
			s.down.Store(line == "down")
			fmt.Fprintln(c, "ok")
		default:
			if _, err := fmt.Sscanf(line, "wait %d %d", &n, &ms); err != nil {
				fmt.Fprintln(c, "unknown command")
				continue
			}
			fmt.Fprintln(c, s.wait(n, time.Duration(ms)*time.Millisecond))
		}
	}
}

func (s *sinkServer) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals, s.sessions, s.most = s.arrivals[:0], 0, s.open
}

// wait waits until n messages are there. It tells how many are, when the n-th
// came (the last, if there are fewer), and how many sessions there were, in all
// and at once.
func (s *sinkServer) wait(n int, patience time.Duration) string {
	s.mu.Lock()
	reached := make(chan struct{})
	if len(s.arrivals) >= n {
		close(reached)
	} else {
		s.want, s.reached = n, reached
	}
	s.mu.Unlock()
	select {
	case <-reached:
	case <-time.After(patience):
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached = nil
	count, at := len(s.arrivals), int64(0)
	if last := min(n, count); last > 0 {
		at = s.arrivals[last-1]
	}
	return fmt.Sprint(count, " ", at, " ", s.sessions, " ", s.most)
}
