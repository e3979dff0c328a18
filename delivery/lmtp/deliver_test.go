package lmtp_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postrider/delivery/lmtp"
	"postrider/internal/smtptest"
)

// TestReplies has a scripted store say all kinds of things to a message for a@x, b@x
// and c@x.
func TestReplies(t *testing.T) {
	const deferred3 = "deferred 0 4.4.2, deferred 0 4.4.2, deferred 0 4.4.2"
	for name, tt := range map[string]struct {
		script smtptest.Script
		want   string
		text   []string
	}{
		"mixed at the end": {
			smtptest.Script{smtptest.Dot: {"250 2.1.5 ok\n452 4.2.2 full\n550 5.7.1 no"}},
			"delivered 250 2.1.5, deferred 452 4.2.2, failed 550 5.7.1",
			[]string{"end of message: 250 2.1.5 ok", "452 4.2.2 full", "550 5.7.1 no"},
		},
		"mixed at RCPT": {
			smtptest.Script{"RCPT": {"550-5.1.1 no\n550 5.1.1 such user", "452 4.2.2 full", "251 fine"}, smtptest.Dot: {"250"}},
			"failed 550 5.1.1, deferred 452 4.2.2, delivered 250 2.0.0",
			[]string{"RCPT: 550 5.1.1 no such user", "452 4.2.2 full", "250"},
		},
		"replies of many lines": {
			smtptest.Script{smtptest.Dot: {"250-2.0.0 a\n250 2.0.0 b\n250 2.0.0 c\n554-5.6.0 x\n554 y"}},
			"delivered 250 2.0.0, delivered 250 2.0.0, failed 554 5.6.0",
			[]string{"250 2.0.0 a b", "250 2.0.0 c", "554 5.6.0 x y"},
		},
		"all refused": {
			smtptest.Script{"RCPT": {"550 5.1.1 no"}, "DATA": {"503 no recipients"}},
			"failed 550 5.1.1, failed 550 5.1.1, failed 550 5.1.1", nil,
		},
		"too many": {
			smtptest.Script{"RCPT": {"452 4.5.3 too many"}},
			"deferred 452 4.5.3, deferred 452 4.5.3, deferred 452 4.5.3", []string{"452 4.5.3 too many"},
		},
		"too many, as 552": {
			smtptest.Script{"RCPT": {"552 too many"}},
			"deferred 0 4.0.0, deferred 0 4.0.0, deferred 0 4.0.0", []string{"552 too many"},
		},
		"over quota": {
			smtptest.Script{"RCPT": {"552 5.2.2 full", "250 ok"}, smtptest.Dot: {"250 ok\n250 ok"}},
			"failed 552 5.2.2, delivered 250 2.0.0, delivered 250 2.0.0", nil,
		},
		"wants a login": {
			smtptest.Script{"RCPT": {"530 5.7.0 login first"}},
			"deferred 0 4.7.0, deferred 0 4.7.0, deferred 0 4.7.0", []string{"530 5.7.0 login first"},
		},
		"greeting 421": {
			smtptest.Script{smtptest.Banner: {"421 4.3.2 busy" + smtptest.Drop}},
			"deferred 421 4.3.2, deferred 421 4.3.2, deferred 421 4.3.2", []string{"said in reply to our connection: 421 4.3.2 busy"},
		},
		"greeting 554": {
			smtptest.Script{smtptest.Banner: {"554 5.7.1 go away" + smtptest.Drop}},
			"deferred 0 4.7.1, deferred 0 4.7.1, deferred 0 4.7.1", []string{"554 5.7.1 go away; see its log"},
		},
		"no LMTP": {
			smtptest.Script{"LHLO": {"500 5.5.1 what?"}},
			"deferred 0 4.5.1, deferred 0 4.5.1, deferred 0 4.5.1", []string{"500 5.5.1 what?; it does not speak LMTP"},
		},
		"MAIL refused because of us": {
			smtptest.Script{"MAIL": {"550 5.7.1 not from you"}, "RCPT": {"503 no"}},
			"deferred 0 4.7.1, deferred 0 4.7.1, deferred 0 4.7.1", []string{"said in reply to MAIL: 550 5.7.1 not from you; see"},
		},
		"MAIL refused because of the message": {
			smtptest.Script{"MAIL": {"552 5.3.4 too large"}, "RCPT": {"503 no"}},
			"failed 552 5.3.4, failed 552 5.3.4, failed 552 5.3.4", nil,
		},
		"MAIL put off": {
			smtptest.Script{"MAIL": {"451 4.3.0 later"}, "RCPT": {"503 no"}},
			"deferred 451 4.3.0, deferred 451 4.3.0, deferred 451 4.3.0", nil,
		},
		"421 to RCPT": {
			smtptest.Script{"RCPT": {"550 5.1.1 no", "421 4.3.2 stopping" + smtptest.Drop}},
			"failed 550 5.1.1, deferred 421 4.3.2, deferred 421 4.3.2", nil,
		},
		"DATA refused": {
			smtptest.Script{"DATA": {"554 5.6.0 no"}},
			"failed 554 5.6.0, failed 554 5.6.0, failed 554 5.6.0", nil,
		},
		"DATA out of place": {
			smtptest.Script{"DATA": {"503 5.5.1 no"}},
			"deferred 0 4.5.1, deferred 0 4.5.1, deferred 0 4.5.1", nil,
		},
		"DATA granted oddly": {
			smtptest.Script{"DATA": {"250 ok"}},
			"deferred 0 4.5.0, deferred 0 4.5.0, deferred 0 4.5.0", nil,
		},
		"replies before the dot": {
			smtptest.Script{"DATA": {"354 go\n250 a\n250 b\n250 c"}},
			deferred3, []string{"out of turn"},
		},
		"surplus reply to RCPT": {
			smtptest.Script{"RCPT": {"250 a", "250 b", "250 c\n250 d"}},
			deferred3, []string{"out of turn"},
		},
		"surplus reply to the dot": {
			smtptest.Script{smtptest.Dot: {"250 a\n550 5.1.1 b\n250 c\n250 d"}},
			"delivered 250 2.0.0, failed 550 5.1.1, delivered 250 2.0.0", nil,
		},
		"reply missing": {
			smtptest.Script{smtptest.Dot: {"250 a\n250 b"}},
			"delivered 250 2.0.0, delivered 250 2.0.0, deferred 0 4.4.2", []string{"250 a", "250 b", "2 of 3 recipients: timed out"},
		},
		"reply cut": {
			smtptest.Script{smtptest.Dot: {"250 a\n250-b" + smtptest.Drop}},
			"delivered 250 2.0.0, deferred 0 4.4.2, deferred 0 4.4.2", []string{"250 a", "1 of 3 recipients: the store closed the connection"},
		},
		"dropped after the dot": {
			smtptest.Script{smtptest.Dot: {smtptest.Drop}}, deferred3, []string{"0 of 3 recipients: the store closed"},
		},
		"endless reply": {
			smtptest.Script{smtptest.Dot: {smtptest.Endless}}, deferred3, []string{"reply is longer than"},
		},
		"trickled reply": {
			smtptest.Script{smtptest.Dot: {smtptest.Trickle}}, deferred3, []string{"timed out"},
		},
		"nonsense": {
			smtptest.Script{smtptest.Dot: {"yes \x1b[31m"}}, deferred3, []string{`"yes ?[31m" is no reply of LMTP`},
		},
		"a code of another world": {
			smtptest.Script{smtptest.Dot: {"354 go\n250 \x07ok \xff\n199 x"}},
			"deferred 0 4.0.0, delivered 250 2.0.0, deferred 0 4.4.2", []string{"354 go", "250 ?ok ?"},
		},
		"greeting stalls": {smtptest.Script{smtptest.Banner: {smtptest.Hang}}, deferred3, []string{"greeting: timed out"}},
		"greeting dropped": {
			smtptest.Script{smtptest.Banner: {smtptest.Drop}}, deferred3, []string{"greeting: the store closed the connection"},
		},
		"LHLO stalls": {smtptest.Script{"LHLO": {smtptest.Hang}}, deferred3, []string{"LHLO: timed out"}},
		"RCPT stalls": {
			smtptest.Script{"RCPT": {"550 5.1.1 no", smtptest.Hang}},
			"failed 550 5.1.1, deferred 0 4.4.2, deferred 0 4.4.2", []string{"", "MAIL and RCPT: timed out"},
		},
		"DATA stalls": {smtptest.Script{"DATA": {smtptest.Hang}}, deferred3, []string{"DATA: timed out"}},
	} {
		for way, script := range bothWays(tt.script) {
			if way == "pipelined" && tt.script["LHLO"] != nil {
				continue
			}
			t.Run(name+", "+way, func(t *testing.T) {
				t.Parallel()
				srv := smtptest.NewScript(t, script, nil)
				c := &lmtp.Client{Timeouts: short}
				check(t, c.Deliver(t.Context(), tcp(srv.Addr()), to("a@x", "b@x", "c@x"), open(body)), tt.want, tt.text...)
				if bodies := srv.Bodies(); len(bodies) > 1 || len(bodies) == 1 && bodies[0] != strings.ReplaceAll(body, "\n.", "\n..") {
					t.Errorf("contents %q went out", bodies)
				}
				if strings.Contains(tt.want, "deferred") && !strings.Contains(tt.want, "delivered") && script[smtptest.Dot] == nil && len(srv.Bodies()) > 0 {
					t.Error("a dot was sent")
				}
			})
		}
	}
}

// TestDialogue: nothing is said ahead to stores that did not offer it, and the
// session ends with QUIT.
func TestDialogue(t *testing.T) {
	for way, script := range bothWays(smtptest.Script{"RCPT": {"250 ok", "452 4.5.3 too many", "250 ok"}}) {
		t.Run(way, func(t *testing.T) {
			srv := smtptest.NewScript(t, script, nil)
			c := &lmtp.Client{Hostname: "me.test", Timeouts: short}
			calls := 0
			e := to("a@x", "b@bücher.example")
			e.OnData = func() { calls++ }
			check(t, c.Deliver(t.Context(), tcp(srv.Addr()), e, open(body)), "delivered 250 2.0.0, delivered 250 2.0.0")
			want := []string{
				"LHLO me.test", "MAIL FROM:<from@example.org>", "RCPT TO:<a@x>", "RCPT TO:<b@xn--bcher-kva.example>", "DATA",
				"MAIL FROM:<from@example.org>", "RCPT TO:<b@xn--bcher-kva.example>", "DATA", "QUIT",
			}
			waitFor(t, srv, "QUIT")
			if got := srv.Lines(); !slices.Equal(got, want) || calls != 2 {
				t.Errorf("said %q, want %q; OnData called %d times", got, want, calls)
			}
		})
	}
}

// TestResetsATransaction: one that was left without a message is reset.
func TestResetsATransaction(t *testing.T) {
	srv := smtptest.NewScript(t, smtptest.Script{"RCPT": {"250 ok", "452 4.5.3 too many", "250 ok"}, "DATA": {"451 4.3.0 later", "354 go"}}, nil)
	c := &lmtp.Client{Timeouts: short}
	check(t, c.Deliver(t.Context(), tcp(srv.Addr()), to("a@x", "b@x"), open(body)), "deferred 451 4.3.0, delivered 250 2.0.0")
	if n := count(srv.Lines(), "RSET"); n != 1 {
		t.Errorf("RSET was said %d times", n)
	}
}

// TestInternationalAddresses: a store without SMTPUTF8 gets no such address, but
// such a header.
func TestInternationalAddresses(t *testing.T) {
	srv := smtptest.NewScript(t, smtptest.Script{}, nil)
	c := &lmtp.Client{Timeouts: short}
	e := to("jörg@x", "a@x", "b\nRSET@x")
	e.SMTPUTF8 = true
	check(t, c.Deliver(t.Context(), tcp(srv.Addr()), e, open(body)), "failed 0 5.6.7, delivered 250 2.0.0, failed 0 5.1.3")
	e.From = addr("jörg@x")
	check(t, c.Deliver(t.Context(), tcp(srv.Addr()), e, open(body)), "failed 0 5.6.7, failed 0 5.6.7, failed 0 5.6.7")
	if got := srv.Lines(); count(got, "MAIL") != 1 || strings.Contains(strings.Join(got, ""), "SMTPUTF8") || count(got, "RSET") != 0 {
		t.Errorf("said %q", got)
	}
}

// TestOwnTrouble: a message that cannot be read is never ended with a dot.
func TestOwnTrouble(t *testing.T) {
	broken := errors.New("bad block")
	for name, tt := range map[string]struct {
		open func() (io.ReadCloser, error)
		text string
	}{
		"open": {func() (io.ReadCloser, error) { return nil, broken }, "open message: bad block"},
		"read": {func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(body), iotest.ErrReader(broken))), nil
		}, "read message: bad block"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.NewScript(t, smtptest.Script{}, nil)
			e := to("a@x")
			e.OnData = func() { t.Error("OnData was called") }
			check(t, (&lmtp.Client{Timeouts: short}).Deliver(t.Context(), tcp(srv.Addr()), e, tt.open), "deferred 0 4.3.0", tt.text)
			srv.Close()
			if len(srv.Bodies()) > 0 {
				t.Error("half a message was delivered")
			}
		})
	}
}

// TestGivenUp: the caller's end is obeyed soon, and never between content and dot
// without the dot unsaid.
func TestGivenUp(t *testing.T) {
	for name, script := range map[string]smtptest.Script{
		"at LHLO":       {"LHLO": {smtptest.Hang}},
		"after the dot": {smtptest.Dot: {smtptest.Hang}},
		"before it":     nil,
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.NewScript(t, script, nil)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			e := to("a@x")
			if script == nil {
				e.OnData = func() { cancel(errors.New("shutting down")) }
			} else {
				time.AfterFunc(100*time.Millisecond, func() { cancel(errors.New("shutting down")) })
			}
			began := time.Now()
			check(t, (&lmtp.Client{}).Deliver(ctx, tcp(srv.Addr()), e, open(body)), "deferred 0 4.4.2", "given up: shutting down")
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if script == nil {
				srv.Close()
				if len(srv.Bodies()) > 0 {
					t.Error("the dot was sent")
				}
			}
		})
	}
}

// TestBody: a store that stops reading, or says why it does, or reads it all.
func TestBody(t *testing.T) {
	large := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1<<18)
	for name, tt := range map[string]struct {
		reply, want, text string
	}{
		"stalls":   {smtptest.Hang, "deferred 0 4.4.2", "message content: timed out"},
		"drops":    {smtptest.Drop, "deferred 0 4.4.2", "message content:"},
		"full":     {"452 4.3.1 disk is full" + smtptest.Hang, "deferred 452 4.3.1", "message content: 452 4.3.1 disk is full"},
		"takes it": {"", "delivered 250 2.0.0", "250 2.0.0 queued"},
	} {
		t.Run(name, func(t *testing.T) {
			srv := smtptest.NewScript(t, smtptest.Script{smtptest.Body: {tt.reply}}, nil)
			times := short
			times.Block, times.Final = 500*time.Millisecond, 20*time.Second
			check(t, (&lmtp.Client{Timeouts: times}).Deliver(t.Context(), tcp(srv.Addr()), to("a@x"), open(large)), tt.want, tt.text)
			if tt.reply == "" && srv.Bodies()[0] != large {
				t.Error("the message did not arrive as it was")
			}
		})
	}
}

// TestLastWords: a store that refuses in the middle and goes is understood.
func TestLastWords(t *testing.T) {
	l, err := net.Listen("unix", socketPath(t))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-served })
	go func() {
		defer close(served)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		buf := make([]byte, 4096)
		for _, say := range []string{"220 x", "250 x", "250 x", "250 x", "354 go"} {
			io.WriteString(conn, say+"\r\n")
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
		// More than the buffers of both sides hold is still to come.
		io.WriteString(conn, "552 5.3.4 too large\r\n")
	}()
	large := strings.Repeat(strings.Repeat("x", 62)+"\r\n", 1<<17)
	got := (&lmtp.Client{Timeouts: short}).Deliver(t.Context(), lmtp.Target{Network: "unix", Address: l.Addr().String()}, to("a@x"), open(large))
	check(t, got, "failed 552 5.3.4", "message content: 552 5.3.4 too large")
}

func TestNobody(t *testing.T) {
	c := &lmtp.Client{Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("the store was dialled")
		return nil, io.EOF
	}}
	if got := c.Deliver(t.Context(), lmtp.Target{}, to(), open(body)); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}
