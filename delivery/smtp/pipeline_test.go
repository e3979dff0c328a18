package smtp_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

// offering is the beginning of a dialogue with a host that knows PIPELINING.
const offering = "250-script.test\n250 PIPELINING"

// refused is a Transaction whose content is not wanted.
func refused(t *testing.T, to ...string) *smtp.Transaction {
	tx := message(to...)
	tx.Open = func() (io.ReadCloser, error) {
		t.Error("the message was opened")
		return open(body)()
	}
	tx.OnData = func() { t.Error("OnData was called") }
	return tx
}

// TestNothingIsSentToNobody: hosts may grant DATA though they refused all else.
func TestNothingIsSentToNobody(t *testing.T) {
	rcpt := []string{"550 5.1.1 no", "550 5.1.1 no", "250 ok"}
	mail := []string{"550 5.7.1 no", "250 ok"}
	tests := map[string]struct {
		script      smtptest.Script
		results     string
		dots, conns int
	}{
		"RCPT refused, DATA granted": {smtptest.Script{"RCPT": rcpt}, "done 550 5.1.1, done 550 5.1.1", 1, 1},
		"dot refused":                {smtptest.Script{"RCPT": rcpt, smtptest.Dot: {"554 5.5.1 nobody", "250 ok"}}, "done 550 5.1.1, done 550 5.1.1", 1, 1},
		"421 to the dot":             {smtptest.Script{"RCPT": rcpt, smtptest.Dot: {"421 4.3.2 bye" + smtptest.Drop, "250 ok"}}, "done 550 5.1.1, done 550 5.1.1", 1, 2},
		"RCPT and DATA refused":      {smtptest.Script{"RCPT": rcpt, "DATA": {"503 5.5.1 nobody", "354 go"}}, "done 550 5.1.1, done 550 5.1.1", 0, 1},
		"dropped at DATA":            {smtptest.Script{"RCPT": rcpt, "DATA": {smtptest.Drop, "354 go"}}, "done 550 5.1.1, done 550 5.1.1", 0, 2},
		"421 to DATA":                {smtptest.Script{"RCPT": rcpt, "DATA": {"421 4.3.2 bye" + smtptest.Drop, "354 go"}}, "done 550 5.1.1, done 550 5.1.1", 0, 2},
		"MAIL refused, DATA granted": {smtptest.Script{"MAIL": mail, "RCPT": {"503 no", "503 no", "250 ok"}}, "done 550 5.7.1, done 550 5.7.1", 1, 1},
		"MAIL and DATA refused":      {smtptest.Script{"MAIL": mail, "RCPT": {"503 no", "503 no", "250 ok"}, "DATA": {"503 no", "354 go"}}, "done 550 5.7.1, done 550 5.7.1", 0, 1},
		"MAIL alone refused":         {smtptest.Script{"MAIL": mail}, "done 550 5.7.1, done 550 5.7.1", 0, 2},
		"MAIL refused, then 421":     {smtptest.Script{"MAIL": mail, "RCPT": {"421 4.3.2 bye" + smtptest.Drop, "250 ok"}}, "done 550 5.7.1, done 550 5.7.1", 0, 2},
		"MAIL refused, then dropped": {smtptest.Script{"MAIL": {"550 5.7.1 no" + smtptest.Drop, "250 ok"}}, "done 550 5.7.1, done 550 5.7.1", 0, 2},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			test.script["EHLO"] = []string{offering}
			srv := script(t, test.script)
			c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
			rep := c.Send(t.Context(), target(srv.Addr()), refused(t, "a@x", "b@x"))
			wantResults(t, rep, test.results)
			if dots := len(srv.Bodies()); dots != test.dots || len(messages(srv)) != 0 {
				t.Errorf("%d contents went out, want %d lone dots: %q", dots, test.dots, srv.Bodies())
			}
			wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("c@x")))
			if n := srv.Connections(); n != test.conns {
				t.Errorf("%d connections, want %d", n, test.conns)
			}
			if got := messages(srv); !slices.Equal(got, []string{body}) {
				t.Errorf("afterwards %q arrived, want the second message", got)
			}
		})
	}
}

// host starts a server that is a function of the connection. The banner has gone out.
func host(t *testing.T, serve func(conn *net.TCPConn, r *bufio.Reader)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			io.WriteString(conn, "220 host.test\r\n")
			if _, err := r.ReadString('\n'); err == nil {
				io.WriteString(conn, "250-host.test\r\n250 PIPELINING\r\n")
				serve(conn.(*net.TCPConn), r)
			}
			conn.Close()
		}
	})
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// skip reads up to a line.
func skip(r *bufio.Reader, last string) (lines []string) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return lines
		}
		if lines = append(lines, line); line == last {
			return lines
		}
	}
}

// TestRepliesInAnyPieces has the replies to a group come together, or octet by octet.
func TestRepliesInAnyPieces(t *testing.T) {
	const replies = "250 ok\r\n250-2.1.5 a\r\n250 2.1.5 a\r\n550 5.1.1 b\r\n452 4.2.2 c\r\n354 go\r\n"
	for name, pieces := range map[string]func(io.Reader) io.Reader{
		"one": func(r io.Reader) io.Reader { return r }, "octets": iotest.OneByteReader, "halves": iotest.HalfReader,
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			served := make(chan struct{})
			once := sync.OnceFunc(func() { close(served) })
			addr := host(t, func(conn *net.TCPConn, r *bufio.Reader) {
				defer once()
				lines = skip(r, "DATA\r\n")
				io.Copy(struct{ io.Writer }{conn}, pieces(strings.NewReader(replies)))
				skip(r, ".\r\n")
				io.WriteString(conn, "250 2.0.0 queued\r\n")
			})
			tx := message("a@x", "b@x", "c@x")
			c := newClient(t, smtp.Options{})
			rep := c.Send(t.Context(), target(addr), tx)
			c.Close()
			<-served
			// There is one more transaction for c@x; this host is gone then.
			wantResults(t, rep, "done 250 2.0.0, done 550 5.1.1, open 452 4.2.2")
			want := []string{"MAIL FROM:<from@example.org>\r\n", "RCPT TO:<a@x>\r\n", "RCPT TO:<b@x>\r\n", "RCPT TO:<c@x>\r\n", "DATA\r\n"}
			if !slices.Equal(lines, want) {
				t.Errorf("said %q before any reply, want %q", lines, want)
			}
		})
	}
}

// TestSurplusReply: one reply too many shifts those after it, so none is believed.
func TestSurplusReply(t *testing.T) {
	addr := host(t, func(conn *net.TCPConn, r *bufio.Reader) {
		skip(r, "DATA\r\n")
		io.WriteString(conn, "250 mail\r\n250 a\r\n250 surplus\r\n550 5.1.1 b\r\n354 go\r\n")
		skip(r, ".\r\n")
	})
	rep := newClient(t, smtp.Options{}).Send(t.Context(), target(addr), refuses(t, "a@x", "b@x"))
	wantResults(t, rep, "open - 4.4.2, open - 4.4.2")
	wantFlags(t, rep, "DATA temporary next")
}

// refuses is a message that may be opened but must not end.
func refuses(t *testing.T, to ...string) *smtp.Transaction {
	tx := message(to...)
	tx.OnData = func() { t.Error("OnData was called") }
	return tx
}

// dialCounting counts the writes of a client.
func dialCounting(n *[]int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &counting{Conn: conn, sizes: n}, nil
	}
}

type counting struct {
	net.Conn
	sizes *[]int
}

func (c *counting) Write(p []byte) (int, error) {
	*c.sizes = append(*c.sizes, len(p))
	return c.Conn.Write(p)
}

// TestWrites: EHLO, the envelope and the content are one write each.
func TestWrites(t *testing.T) {
	for name, content := range map[string]string{
		"small": body, "256 KiB": strings.Repeat(strings.Repeat("x", 62)+"\r\n", 4<<10), "dots": strings.Repeat(".\r\n", 50000),
	} {
		t.Run(name, func(t *testing.T) {
			srv := script(t, smtptest.Script{"EHLO": {offering}})
			var sizes []int
			c := newClient(t, smtp.Options{DialContext: dialCounting(&sizes)})
			tx := message("a@x", "b@x")
			tx.Open = open(content)
			wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), tx))
			if len(sizes) != 3 {
				t.Errorf("writes of %v octets, want three", sizes)
			}
			want := strings.ReplaceAll(content, "\n.", "\n..")
			if content[0] == '.' {
				want = "." + want
			}
			if srv.Bodies()[0] != want {
				t.Error("the content did not arrive as it was")
			}
		})
	}
}

// TestThousandRecipients has a host that reads one command at a time, answers at
// length, and reads nothing while nobody reads its answers.
func TestThousandRecipients(t *testing.T) {
	const n = 1000
	long := "250 2.1.5 " + strings.Repeat("x", 900) + "\r\n"
	done := make(chan int, 1)
	addr := host(t, func(conn *net.TCPConn, r *bufio.Reader) {
		conn.SetReadBuffer(4 << 10)
		conn.SetWriteBuffer(4 << 10)
		rcpts := 0
		for {
			line, err := r.ReadString('\n')
			reply := long
			switch {
			case err != nil:
				done <- rcpts
				return
			case strings.HasPrefix(line, "RCPT"):
				rcpts++
			case line == "DATA\r\n":
				io.WriteString(conn, "354 go\r\n")
				skip(r, ".\r\n")
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				done <- rcpts
				return
			}
		}
	})
	var to []string
	for i := range n {
		to = append(to, fmt.Sprintf("%d.%s@example.com", i, strings.Repeat("u", 60)))
	}
	c := newClient(t, smtp.Options{Timeouts: smtp.Timeouts{Total: 10 * time.Second}, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			conn.(*net.TCPConn).SetReadBuffer(4 << 10)
			conn.(*net.TCPConn).SetWriteBuffer(4 << 10)
		}
		return conn, err
	}})
	wantDelivered(t, c.Send(t.Context(), target(addr), message(to...)))
	c.Close()
	if got := <-done; got != n {
		t.Errorf("%d recipients were named, want %d", got, n)
	}
}

// TestHostOfHundredRecipients: those refused as too many are not asked about again
// and again.
func TestHostOfHundredRecipients(t *testing.T) {
	const limit, n = 100, 250
	seen := map[string]int{}
	var asked, accepted int
	addr := host(t, func(conn *net.TCPConn, r *bufio.Reader) {
		w := bufio.NewWriter(conn)
		for r.Buffered() > 0 || w.Flush() == nil {
			line, err := r.ReadString('\n')
			switch {
			case err != nil:
				return
			case strings.HasPrefix(line, "RCPT") && accepted == limit:
				asked++
				w.WriteString("452 4.5.3 too many\r\n")
				continue
			case strings.HasPrefix(line, "RCPT"):
				asked++
				accepted++
				seen[line]++
			case line == "DATA\r\n":
				w.WriteString("354 go\r\n")
				w.Flush()
				skip(r, ".\r\n")
				accepted = 0
			}
			w.WriteString("250 2.0.0 ok\r\n")
		}
	})
	var to []string
	for i := range n {
		to = append(to, fmt.Sprintf("u%d@x", i))
	}
	wantDelivered(t, newClient(t, smtp.Options{}).Send(t.Context(), target(addr), message(to...)))
	if len(seen) != n {
		t.Errorf("%d recipients got the message, want %d", len(seen), n)
	}
	for line, copies := range seen {
		if copies != 1 {
			t.Errorf("%d copies for %q", copies, line)
		}
	}
	if asked > n+100+50 {
		t.Errorf("%d recipients were named, want each group in vain once", asked)
	}
}

// TestNoPipeliningBeforeItIsOffered: nothing but the group is said ahead.
func TestNoPipeliningBeforeItIsOffered(t *testing.T) {
	ca := smtptest.NewCA(t)
	srv := scriptTLS(t, smtptest.Script{"EHLO": {"250-script.test\n250-PIPELINING\n250 STARTTLS", "250 script.test"}, "RCPT": {"550 5.1.1 no"}}, ca.Server(t, "mx.example.com"))
	tg := target(srv.Addr())
	tg.TLS = smtp.TLSOpportunistic
	rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, refused(t, "a@x"))
	wantResults(t, rep, "done 550 5.1.1")
	if n := count(srv.Lines(), "DATA"); n != 0 {
		t.Error("DATA was said ahead to a host that offered PIPELINING in the clear only")
	}
}
