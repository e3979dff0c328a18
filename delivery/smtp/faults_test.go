package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

// TestFaults has the host fail at every stage in every way.
func TestFaults(t *testing.T) {
	const drop, hang = smtptest.Drop, smtptest.Hang
	tests := []struct {
		name     string
		script   smtptest.Script
		flags    string
		doubtful bool
		timeout  bool
	}{
		{"drop before banner", smtptest.Script{smtptest.Banner: {drop}}, "greeting temporary next connect", false, false},
		{"drop after banner", smtptest.Script{"EHLO": {drop}}, "EHLO temporary next connect", false, false},
		{"drop after EHLO", smtptest.Script{"MAIL": {drop}}, "MAIL temporary next", false, false},
		{"drop after MAIL", smtptest.Script{"RCPT": {drop}}, "RCPT temporary next", false, false},
		{"drop after RCPT", smtptest.Script{"DATA": {drop}}, "DATA temporary next", false, false},
		{"drop after dot", smtptest.Script{smtptest.Dot: {drop}}, "end of message temporary", true, false},
		{"hang before banner", smtptest.Script{smtptest.Banner: {hang}}, "greeting temporary next connect", false, true},
		{"hang at EHLO", smtptest.Script{"EHLO": {hang}}, "EHLO temporary next connect", false, true},
		{"hang at MAIL", smtptest.Script{"MAIL": {hang}}, "MAIL temporary next", false, true},
		{"hang at RCPT", smtptest.Script{"RCPT": {hang}}, "RCPT temporary next", false, true},
		{"hang at DATA", smtptest.Script{"DATA": {hang}}, "DATA temporary next", false, true},
		{"hang after dot", smtptest.Script{smtptest.Dot: {hang}}, "end of message temporary", true, true},
		{"trickle at RCPT", smtptest.Script{"RCPT": {smtptest.Trickle}}, "RCPT temporary next", false, true},
		{"endless banner", smtptest.Script{smtptest.Banner: {smtptest.Endless}}, "greeting temporary next connect", false, false},
		{"endless EHLO", smtptest.Script{"EHLO": {smtptest.Endless}}, "EHLO temporary next connect", false, false},
		{"endless RCPT", smtptest.Script{"RCPT": {smtptest.Endless}}, "RCPT temporary next", false, false},
		{"endless after dot", smtptest.Script{smtptest.Dot: {smtptest.Endless}}, "end of message temporary", true, false},
		{"long line", smtptest.Script{"RCPT": {"250 " + strings.Repeat("x", 1<<20)}}, "RCPT temporary next", false, false},
		{"garbage banner", smtptest.Script{smtptest.Banner: {"SSH-2.0-OpenSSH"}}, "greeting temporary next connect", false, false},
		{"garbage RCPT", smtptest.Script{"RCPT": {"\x00\x01\x02"}}, "RCPT temporary next", false, false},
		{"two replies", smtptest.Script{"RCPT": {"250 ok\n250 ok"}}, "DATA temporary next", false, false},
		{"421 besides a reply", smtptest.Script{"RCPT": {"250 ok\n421 4.3.2 closing" + drop}}, "DATA temporary next connect", false, false},
		{"banner of two", smtptest.Script{smtptest.Banner: {"220 a\n250 b"}}, "EHLO temporary next connect", false, false},
	}
	for _, test := range tests {
		for mode, s := range bothWays(test.script) {
			t.Run(test.name+mode, func(t *testing.T) {
				srv := script(t, s)
				rep := newClient(t, smtp.Options{Timeouts: short}).Send(t.Context(), target(srv.Addr()), message("a@x"))
				wantFlags(t, rep, test.flags)
				if r := rep.Results[0]; r.Done || !r.Reply.Temporary() {
					t.Errorf("result is %s, want an open temporary one", result(r))
				}
				if rep.Doubtful != test.doubtful {
					t.Errorf("doubtful is %v, want %v", rep.Doubtful, test.doubtful)
				}
				var ne net.Error
				if timeout := errors.As(rep.Err, &ne) && ne.Timeout(); timeout != test.timeout {
					t.Errorf("timeout is %v, want %v (%v)", timeout, test.timeout, rep.Err)
				}
			})
		}
	}
}

// TestFaultsInContent sends more than the system buffers.
func TestFaultsInContent(t *testing.T) {
	large := strings.Repeat(strings.Repeat("x", 78)+"\r\n", 200000)
	tests := map[string]struct {
		body    string
		results string
		flags   string
	}{
		"drop":              {smtptest.Drop, "open - 4.4.2", "message content temporary next"},
		"stops reading":     {smtptest.Hang, "open - 4.4.2", "message content temporary next"},
		"says why and ends": {"552 5.3.4 too big" + smtptest.Drop, "done 552 5.3.4", "none"},
		"closes the session": {
			"421 4.3.2 shutting down" + smtptest.Drop, "open 421 4.3.2", "message content temporary next connect",
		},
	}
	for name, test := range tests {
		for mode, s := range bothWays(smtptest.Script{smtptest.Body: {test.body}}) {
			t.Run(name+mode, func(t *testing.T) {
				srv := script(t, s)
				tx := message("a@x")
				tx.Open = open(large)
				tx.OnData = func() { t.Error("OnData was called for a message that did not go out") }
				began := time.Now()
				rep := newClient(t, smtp.Options{Timeouts: short}).Send(t.Context(), target(srv.Addr()), tx)
				wantResults(t, rep, test.results)
				wantFlags(t, rep, test.flags)
				if rep.Doubtful {
					t.Error("report is doubtful though no dot went out")
				}
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		}
	}
}

// TestTotal has a host that is always in time, but without end.
func TestTotal(t *testing.T) {
	srv := script(t, smtptest.Script{"RCPT": {"250 ok", smtptest.Trickle}})
	times := smtp.Timeouts{Total: 200 * time.Millisecond}
	rep := newClient(t, smtp.Options{Timeouts: times}).Send(t.Context(), target(srv.Addr()), message("a@x", "b@x"))
	wantFlags(t, rep, "RCPT temporary next")
	if rep.Took > 3*time.Second {
		t.Errorf("it took %v", rep.Took)
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	l.Close()
	rep := newClient(t, smtp.Options{}).Send(t.Context(), target(addr), message("a@x"))
	wantFlags(t, rep, "connecting temporary next connect")
	wantResults(t, rep, "open - 4.4.1")
	if text := rep.Results[0].Reply.Text; !strings.Contains(text, "refused") || !strings.Contains(text, "mx.example.com") {
		t.Errorf("text is %q, want host and reason", text)
	}
}

func TestLocalAddress(t *testing.T) {
	sink := smtptest.NewSink(t, smtptest.Options{})
	tg := target(sink.Addr())
	tg.LocalAddr = netip.MustParseAddr("127.0.0.2")
	wantDelivered(t, newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x")))
	tg.LocalAddr = netip.MustParseAddr("192.0.2.1")
	rep := newClient(t, smtp.Options{}).Send(t.Context(), tg, message("a@x"))
	wantFlags(t, rep, "connecting temporary next connect")
}

// TestContextEnds cancels at several stages.
func TestContextEnds(t *testing.T) {
	const hang = smtptest.Hang
	tests := []struct {
		name, after string
		script      smtptest.Script
		doubtful    bool
	}{
		{"greeting", "", smtptest.Script{smtptest.Banner: {hang}}, false},
		{"RCPT", "RCPT", smtptest.Script{"RCPT": {hang}}, false},
		{"dot", "DATA", smtptest.Script{smtptest.Dot: {hang}}, true},
	}
	for _, test := range tests {
		for mode, s := range bothWays(test.script) {
			t.Run(test.name+mode, func(t *testing.T) {
				srv := script(t, s)
				ctx, cancel := context.WithCancelCause(t.Context())
				cause := errors.New("shutting down")
				tx := message("a@x")
				dotting := make(chan struct{})
				tx.OnData = func() { close(dotting) }
				done := make(chan *smtp.Report)
				c := newClient(t, smtp.Options{})
				go func() { done <- c.Send(ctx, target(srv.Addr()), tx) }()
				if test.after == "" {
					eventually(t, "connection", func() bool { return srv.Connections() == 1 })
				} else {
					eventually(t, test.after, func() bool { return count(srv.Lines(), test.after) == 1 })
				}
				if test.doubtful {
					<-dotting
					eventually(t, "dot", func() bool { return len(srv.Bodies()) == 1 })
				}
				cancel(cause)
				rep := <-done
				if rep.Err == nil || !errors.Is(rep.Err, cause) || rep.Err.NextHost() || rep.Err.ConnectFailure() || !rep.Err.Temporary() {
					t.Errorf("error is %q (%v), want the context's cause", flags(rep.Err), rep.Err)
				}
				if rep.Doubtful != test.doubtful {
					t.Errorf("doubtful is %v, want %v", rep.Doubtful, test.doubtful)
				}
				if c.Idle() != 0 {
					t.Error("the connection was kept")
				}
			})
		}
	}
}

func TestContextEndedBefore(t *testing.T) {
	srv := script(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	rep := newClient(t, smtp.Options{}).Send(ctx, target(srv.Addr()), message("a@x"))
	if rep.Err == nil || !errors.Is(rep.Err, context.Canceled) || srv.Connections() != 0 {
		t.Errorf("error is %v after %d connections, want none made", rep.Err, srv.Connections())
	}
}

func TestContextEndsWhileDialling(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient(t, smtp.Options{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	rep := c.Send(ctx, target(netip.MustParseAddrPort("192.0.2.1:25")), message("a@x"))
	wantFlags(t, rep, "connecting temporary")
}

func TestErrorsRead(t *testing.T) {
	srv := script(t, smtptest.Script{smtptest.Banner: {"554-go\n554 away"}})
	rep := newClient(t, smtp.Options{}).Send(t.Context(), target(srv.Addr()), message("a@x"))
	want := fmt.Sprintf("host mx.example.com[127.0.0.1]:%d said in reply to greeting: 554-go 554 away", srv.Addr().Port())
	if rep.Err == nil || rep.Err.Error() != want {
		t.Errorf("error reads %v, want %s", rep.Err, want)
	}
	if errors.Is(rep.Err, io.EOF) {
		t.Error("a reply is no lost connection")
	}
	closed := netip.MustParseAddrPort("127.0.0.1:9")
	rep = newClient(t, smtp.Options{}).Send(t.Context(), target(closed), message("a@x"))
	if want := "connect to mx.example.com[127.0.0.1]:9: connection refused"; rep.Err == nil || rep.Err.Error() != want {
		t.Errorf("error reads %v, want %s", rep.Err, want)
	}
}
