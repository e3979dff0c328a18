package smtptest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Script says what a scripted server answers: by the beginning of the command line,
// of which the longest that fits counts, or by one of the stages below. The replies
// to one key are used in turn, over all connections, and the last one from then
// on. Lines of a reply are parted by \n, and go out in one write.
//
// What a script leaves out gets the answer of a plain server that knows 8BITMIME.
type Script map[string][]string

// Keys of a Script that are no commands.
const (
	Banner = "<banner>" // the first words
	Body   = "<body>"   // after the first line of content: Drop or Hang, or nothing
	Dot    = "<dot>"    // the reply to the end of content
)

// Faults, in the place of a reply or, Drop and Hang, at its end.
const (
	Drop    = "<drop>"    // close the connection
	Hang    = "<hang>"    // neither read nor write until the server ends
	Endless = "<endless>" // reply lines without end
	Trickle = "<trickle>" // one octet of a reply now and then, without end
)

var plain = Script{
	Banner: {"220 script.test ESMTP"}, Body: {""}, Dot: {"250 2.0.0 queued"},
	"EHLO": {"250-script.test\n250 8BITMIME"}, "DATA": {"354 go on"}, "STARTTLS": {"220 go on"},
	"QUIT": {"221 bye" + Drop}, "": {"250 2.0.0 ok"},
}

// Scripted is a running Script. It is safe for concurrent use.
type Scripted struct {
	script   Script
	tls      *tls.Config
	implicit bool
	listener net.Listener
	addr     netip.AddrPort
	done     chan struct{}
	serving  sync.WaitGroup

	mu     sync.Mutex
	used   map[string]int
	lines  []string
	bodies []string
	conns  []net.Conn
}

// StartScript starts a scripted server on a free port of 127.0.0.1. cfg, if set,
// serves STARTTLS or, with implicit, the whole connection.
func StartScript(s Script, cfg *tls.Config, implicit bool) (*Scripted, error) {
	return StartScriptAt("127.0.0.1:0", s, cfg, implicit)
}

// StartScriptAt is StartScript on a certain address.
func StartScriptAt(addr string, s Script, cfg *tls.Config, implicit bool) (*Scripted, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("start scripted server: %w", err)
	}
	srv := &Scripted{
		script: s, tls: cfg, implicit: implicit, listener: l, addr: l.Addr().(*net.TCPAddr).AddrPort(),
		done: make(chan struct{}), used: make(map[string]int),
	}
	srv.serving.Go(srv.accept)
	return srv, nil
}

// NewScript starts a scripted server that ends with the test.
func NewScript(t TB, s Script, cfg *tls.Config) *Scripted {
	t.Helper()
	srv, err := StartScript(s, cfg, false)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(srv.Close)
	return srv
}

// Addr is where the server listens.
func (s *Scripted) Addr() netip.AddrPort { return s.addr }

// Connections is the number of connections so far.
func (s *Scripted) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Lines gives the commands received so far, over all connections.
func (s *Scripted) Lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lines)
}

// Bodies gives the contents received whole so far, as on the wire: dots stuffed, the
// final one left out.
func (s *Scripted) Bodies() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.bodies)
}

// Close ends the server and its connections.
func (s *Scripted) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
		s.mu.Unlock()
		return
	default:
	}
	close(s.done)
	s.listener.Close()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// DropClients closes all connections that are open, as a host that restarts.
func (s *Scripted) DropClients() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Close()
	}
}

func (s *Scripted) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		select {
		case <-s.done:
			c.Close()
		default:
		}
		s.mu.Unlock()
		s.serving.Go(func() {
			defer c.Close()
			(&dialogue{s: s, conn: c}).run()
		})
	}
}

// next takes the next reply for a key.
func (s *Scripted) next(key string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	replies := s.script[key]
	if len(replies) == 0 {
		replies = plain[key]
	}
	n := min(s.used[key], len(replies)-1)
	s.used[key]++
	return replies[n]
}

// key finds the longest beginning of line that there is an answer for.
func (s *Scripted) key(line string) string {
	best := ""
	for _, script := range []Script{plain, s.script} {
		for k := range script {
			if len(k) >= len(best) && len(k) <= len(line) && strings.EqualFold(line[:len(k)], k) {
				best = k
			}
		}
	}
	return best
}

// dialogue is one connection of a Scripted.
type dialogue struct {
	s    *Scripted
	conn net.Conn
	r    *bufio.Reader
}

func (d *dialogue) run() {
	if d.s.implicit {
		d.conn = tls.Server(d.conn, d.s.tls)
	}
	d.r = bufio.NewReader(d.conn)
	for ok := d.say(d.s.next(Banner)); ok; {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		d.s.mu.Lock()
		d.s.lines = append(d.s.lines, line)
		d.s.mu.Unlock()
		key := d.s.key(line)
		reply := d.s.next(key)
		ok = d.say(reply)
		switch {
		case ok && key == "DATA" && strings.HasPrefix(reply, "3"):
			ok = d.content()
		case ok && key == "STARTTLS" && strings.HasPrefix(reply, "2") && d.s.tls != nil:
			d.conn = tls.Server(d.conn, d.s.tls)
			d.r = bufio.NewReader(d.conn)
		}
	}
}

// content reads up to the dot and answers it.
func (d *dialogue) content() bool {
	var b strings.Builder
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return false
		}
		if line == ".\r\n" {
			break
		}
		if b.Len() == 0 && !d.say(d.s.next(Body)) {
			return false
		}
		b.WriteString(line)
	}
	d.s.mu.Lock()
	d.s.bodies = append(d.s.bodies, b.String())
	d.s.mu.Unlock()
	return d.say(d.s.next(Dot))
}

// say sends a reply or commits a fault, and reports whether the dialogue goes on.
func (d *dialogue) say(reply string) bool {
	switch reply {
	case "":
		return true
	case Endless:
		return d.repeat("250-and more\r\n", 0)
	case Trickle:
		return d.repeat("2", 20*time.Millisecond)
	}
	reply, drop := strings.CutSuffix(reply, Drop)
	reply, hang := strings.CutSuffix(reply, Hang)
	if reply != "" {
		if _, err := d.conn.Write([]byte(strings.ReplaceAll(reply, "\n", "\r\n") + "\r\n")); err != nil {
			return false
		}
	}
	if hang {
		<-d.s.done
	}
	return !drop && !hang
}

// repeat writes until the client or the server ends.
func (d *dialogue) repeat(text string, every time.Duration) bool {
	for {
		if _, err := d.conn.Write([]byte(text)); err != nil {
			return false
		}
		select {
		case <-d.s.done:
			return false
		case <-time.After(every):
		}
	}
}
