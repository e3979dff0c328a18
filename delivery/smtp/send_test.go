package smtp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

// TestReplies checks how replies of every stage are sorted.
func TestReplies(t *testing.T) {
	tests := []struct {
		name    string
		script  smtptest.Script
		to      []string
		results string
		flags   string
		bodies  int
	}{
		{"accepted", nil, []string{"a@x", "b@x"}, "done 250 2.0.0, done 250 2.0.0", "none", 1},
		{
			"mixed", smtptest.Script{"RCPT TO:<b@x>": {"550 5.1.1 no such user"}, "RCPT TO:<c@x>": {"451 4.7.1 grey"}},
			[]string{"a@x", "b@x", "c@x"}, "done 250 2.0.0, done 550 5.1.1, done 451 4.7.1", "none", 1,
		},
		{
			"all refused", smtptest.Script{"RCPT": {"550 5.1.1 no", "551 5.1.6 moved"}},
			[]string{"a@x", "b@x"}, "done 550 5.1.1, done 551 5.1.6", "none", 0,
		},
		{
			"unknown codes by first digit", smtptest.Script{
				"MAIL": {"299 well"}, "RCPT": {"217 fine", "599 never", "477 perhaps"}, "DATA": {"399 yes"}, smtptest.Dot: {"200 done"},
			},
			[]string{"a@x", "b@x", "c@x"}, "done 200 2.0.0, done 599 5.0.0, done 477 4.0.0", "none", 1,
		},
		{
			"class of enhanced code does not match", smtptest.Script{"RCPT": {"450 5.1.1 hm"}},
			[]string{"a@x"}, "done 450 4.0.0", "none", 0,
		},
		{
			"3xx to RCPT", smtptest.Script{"RCPT": {"354 what"}},
			[]string{"a@x"}, "done - 4.5.0", "none", 0,
		},
		{
			"MAIL 5xx", smtptest.Script{"MAIL": {"550 5.7.1 not you"}},
			[]string{"a@x", "b@x"}, "done 550 5.7.1, done 550 5.7.1", "MAIL", 0,
		},
		{
			"MAIL 4xx", smtptest.Script{"MAIL": {"451 4.3.0 later"}},
			[]string{"a@x"}, "open 451 4.3.0", "MAIL temporary next", 0,
		},
		{
			"MAIL 421", smtptest.Script{"MAIL": {"421 4.3.2 closing" + smtptest.Drop}},
			[]string{"a@x"}, "open 421 4.3.2", "MAIL temporary next connect", 0,
		},
		{
			"RCPT 421", smtptest.Script{"RCPT": {"550 5.1.1 no", "250 ok", "421 4.3.2 closing" + smtptest.Drop}},
			[]string{"a@x", "b@x", "c@x", "d@x"},
			"done 550 5.1.1, open 421 4.3.2, open 421 4.3.2, open 421 4.3.2", "RCPT temporary next connect", 0,
		},
		{
			"DATA 5xx", smtptest.Script{"DATA": {"554 5.7.1 no"}},
			[]string{"a@x"}, "done 554 5.7.1", "DATA", 0,
		},
		{
			"DATA 4xx", smtptest.Script{"DATA": {"451 4.7.1 grey"}},
			[]string{"a@x"}, "open 451 4.7.1", "DATA temporary next", 0,
		},
		{
			"DATA 2xx", smtptest.Script{"DATA": {"250 yes"}},
			[]string{"a@x"}, "open - 4.4.2", "DATA temporary next", 0,
		},
		{
			"dot 5xx", smtptest.Script{smtptest.Dot: {"554 5.6.0 spam"}, "RCPT TO:<b@x>": {"550 5.1.1 no"}},
			[]string{"a@x", "b@x"}, "done 554 5.6.0, done 550 5.1.1", "none", 1,
		},
		{"dot 4xx", smtptest.Script{smtptest.Dot: {"452 4.3.1 full"}}, []string{"a@x"}, "done 452 4.3.1", "none", 1},
		{
			"dot 421", smtptest.Script{smtptest.Dot: {"421 4.3.2 closing" + smtptest.Drop}},
			[]string{"a@x"}, "open 421 4.3.2", "end of message temporary next connect", 1,
		},
		{
			"552 to RCPT splits", smtptest.Script{"RCPT TO:<b@x>": {"552 too many", "250 ok"}},
			[]string{"a@x", "b@x"}, "done 250 2.0.0, done 250 2.0.0", "none", 2,
		},
		{
			"452 without progress", smtptest.Script{"RCPT TO:<b@x>": {"552 5.5.3 too many"}},
			[]string{"a@x", "b@x"}, "done 250 2.0.0, open 452 4.5.3", "none", 1,
		},
		{
			"452 to all", smtptest.Script{"RCPT": {"452 4.5.3 too many"}},
			[]string{"a@x", "b@x"}, "open 452 4.5.3, open 452 4.5.3", "none", 0,
		},
		{
			"no ESMTP", smtptest.Script{"EHLO": {"502 what"}, "HELO": {"250 script.test"}},
			[]string{"a@x"}, "done 250 2.0.0", "none", 1,
		},
		{
			"504 to EHLO", smtptest.Script{"EHLO": {"504 what"}},
			[]string{"a@x"}, "done 250 2.0.0", "none", 1,
		},
		{
			"HELO refused too", smtptest.Script{"EHLO": {"550 5.7.1 who"}, "HELO": {"550 5.7.1 who"}},
			[]string{"a@x"}, "open - 4.7.1", "EHLO temporary next connect", 0,
		},
		{
			"banner 421", smtptest.Script{smtptest.Banner: {"421 4.3.2 busy" + smtptest.Drop}},
			[]string{"a@x"}, "open 421 4.3.2", "greeting temporary next connect", 0,
		},
		{
			"banner 554", smtptest.Script{smtptest.Banner: {"554 5.7.1 blocked"}},
			[]string{"a@x"}, "open - 4.7.1", "greeting temporary next connect", 0,
		},
		{
			"banner 521", smtptest.Script{smtptest.Banner: {"521 5.3.2 no mail here"}},
			[]string{"a@x"}, "open 521 5.3.2", "greeting next connect permanent-host", 0,
		},
		{
			"our name in banner", smtptest.Script{smtptest.Banner: {"220 Client.Test. ESMTP"}},
			[]string{"a@x"}, "open - 5.4.6", "greeting loop", 0,
		},
		{
			"our name in EHLO", smtptest.Script{"EHLO": {"250-client.test\n250 SIZE"}},
			[]string{"a@x"}, "open - 5.4.6", "EHLO loop", 0,
		},
		{
			"our name later in EHLO", smtptest.Script{"EHLO": {"250-script.test Hello client.test"}, "RCPT": {"550 no"}, "QUIT": {smtptest.Drop}},
			[]string{"a@x"}, "open - 4.4.2", "EHLO temporary next connect", 0,
		},
	}
	for _, test := range tests {
		for mode, s := range bothWays(test.script) {
			t.Run(test.name+mode, func(t *testing.T) {
				srv := script(t, s)
				c := newClient(t, smtp.Options{Timeouts: short})
				rep := c.Send(t.Context(), target(srv.Addr()), message(test.to...))
				wantResults(t, rep, test.results)
				wantFlags(t, rep, test.flags)
				if n := len(messages(srv)); n != test.bodies {
					t.Errorf("%d messages went out, want %d", n, test.bodies)
				}
				if rep.Doubtful {
					t.Error("report is doubtful although there was a reply")
				}
			})
		}
	}
}

func TestRepliesVerbatim(t *testing.T) {
	srv := script(t, smtptest.Script{
		"RCPT TO:<b@x>": {"550-5.1.1 There is no\n550-5.1.1 such \x1buser\n550 5.1.1 here: übel \xff"},
		smtptest.Dot:    {"250-2.6.0 thank you\n250 2.6.0 queued as 4711"},
	})
	rep := newClient(t, smtp.Options{}).Send(t.Context(), target(srv.Addr()), message("a@x", "b@x"))
	want := []smtp.Reply{
		{Code: 250, Status: "2.6.0", Text: "250-2.6.0 thank you\n250 2.6.0 queued as 4711", Remote: true},
		{Code: 550, Status: "5.1.1", Text: "550-5.1.1 There is no\n550-5.1.1 such ?user\n550 5.1.1 here: übel ?", Remote: true},
	}
	for i, w := range want {
		if got := rep.Results[i].Reply; got != w {
			t.Errorf("reply for recipient %d is %+v, want %+v", i, got, w)
		}
	}
}

// TestContent checks that what arrives is what was sent, however it lies in blocks.
func TestContent(t *testing.T) {
	line := strings.Repeat("x", 98) + "\r\n"
	tests := map[string]string{
		"dots":           ".\r\n..\r\n.a\r\n a.\r\n",
		"dot first":      ".hidden\r\n",
		"empty":          "",
		"large":          strings.Repeat(line, 20000),
		"near a block":   strings.Repeat(line, 327) + strings.Repeat("y", 64) + "\r\n",
		"end in a block": strings.Repeat(line, 327) + strings.Repeat("y", 61) + "\r\n",
	}
	sink := smtptest.NewSink(t, smtptest.Options{})
	c := newClient(t, smtp.Options{})
	n := 0
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			tx := message("a@x")
			tx.Size, tx.Open = int64(len(content)), open(content)
			wantDelivered(t, c.Send(t.Context(), target(sink.Addr()), tx))
			want := content
			if want == "" {
				want = "\r\n"
			}
			if got := string(sink.Messages()[n].Data); got != want {
				t.Errorf("%d bytes arrived, want %d: begins %.40q", len(got), len(want), got)
			}
			n++
		})
	}
}

// writes counts what is written on a connection.
type writes struct {
	net.Conn
	last atomic.Pointer[string]
}

func (w *writes) Write(p []byte) (int, error) {
	s := string(p)
	if !strings.HasPrefix(s, "QUIT") {
		w.last.Store(&s)
	}
	return w.Conn.Write(p)
}

func TestEndOfMessageIsOneWrite(t *testing.T) {
	sink := smtptest.NewSink(t, smtptest.Options{})
	var conn *writes
	c := newClient(t, smtp.Options{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, address)
		conn = &writes{Conn: raw}
		return conn, err
	}})
	wantDelivered(t, c.Send(t.Context(), target(sink.Addr()), message("a@x")))
	if got := *conn.last.Load(); got != body+".\r\n" {
		t.Errorf("the last write was %q, want the whole message with its dot", got)
	}
}

func TestOnDataComesBeforeTheDot(t *testing.T) {
	srv := script(t, nil)
	tx := message("a@x")
	calls := 0
	tx.OnData = func() {
		calls++
		if n := len(srv.Bodies()); n != 0 {
			t.Error("the message has gone out before OnData")
		}
	}
	wantDelivered(t, newClient(t, smtp.Options{}).Send(t.Context(), target(srv.Addr()), tx))
	if calls != 1 {
		t.Errorf("OnData was called %d times, want once", calls)
	}
}

func TestManyRecipientsAreSplit(t *testing.T) {
	const limit = 3
	sink := smtptest.NewSink(t, smtptest.Options{OnRcpt: func(_ *smtptest.Message, _ string, accepted int) error {
		if accepted == limit {
			return &gosmtp.SMTPError{Code: 452, EnhancedCode: gosmtp.EnhancedCode{4, 5, 3}, Message: "Too many recipients"}
		}
		return nil
	}})
	testSplit(t, sink, limit)
}

func TestLimitOnRecipientsIsKept(t *testing.T) {
	const limit = 4
	sink := smtptest.NewSink(t, smtptest.Options{MaxRecipients: limit})
	testSplit(t, sink, limit)
}

func testSplit(t *testing.T, sink *smtptest.Sink, limit int) {
	t.Helper()
	var to []string
	for i := range 10 {
		to = append(to, fmt.Sprintf("u%d@x", i))
	}
	wantDelivered(t, newClient(t, smtp.Options{}).Send(t.Context(), target(sink.Addr()), message(to...)))
	seen := map[string]int{}
	for _, m := range sink.Messages() {
		if len(m.To) > limit {
			t.Errorf("a transaction had %d recipients, want at most %d", len(m.To), limit)
		}
		for _, r := range m.To {
			seen[r.Address]++
		}
	}
	for _, a := range to {
		if seen[a] != 1 {
			t.Errorf("%s got %d copies, want 1", a, seen[a])
		}
	}
	if n := sink.Sessions(); n != 1 {
		t.Errorf("%d sessions, want all transactions on one", n)
	}
}

func TestLimitOfOneMailPerConnection(t *testing.T) {
	srv := script(t, smtptest.Script{"EHLO": {"250-script.test\n250 LIMITS MAILMAX=1 RCPTMAX=1"}, "RCPT TO:<b@x>": {"550 5.1.1 no"}})
	c := newClient(t, smtp.Options{})
	rep := c.Send(t.Context(), target(srv.Addr()), message("b@x", "a@x", "c@x"))
	wantResults(t, rep, "done 550 5.1.1, done 250 2.0.0, done 250 2.0.0")
	if n := srv.Connections(); n != 3 {
		t.Errorf("%d connections, want one for each transaction", n)
	}
}

func TestMessageCannotBeRead(t *testing.T) {
	broken := errors.New("disk on fire")
	tests := map[string]func() (io.ReadCloser, error){
		"open": func() (io.ReadCloser, error) { return nil, broken },
		"read": func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(body), failing{broken})), nil
		},
	}
	for name, opener := range tests {
		testMessageCannotBeRead(t, name, opener, broken)
	}
}

func testMessageCannotBeRead(t *testing.T, name string, opener func() (io.ReadCloser, error), broken error) {
	for mode, s := range bothWays(nil) {
		t.Run(name+mode, func(t *testing.T) {
			srv := script(t, s)
			tx := message("a@x")
			tx.Open = opener
			rep := newClient(t, smtp.Options{}).Send(t.Context(), target(srv.Addr()), tx)
			if rep.Err == nil || !errors.Is(rep.Err, broken) || !rep.Err.Local || rep.Err.NextHost() || rep.Err.ConnectFailure() {
				t.Errorf("error is %q (%v), want a local one", flags(rep.Err), rep.Err)
			}
			wantResults(t, rep, "open - 4.3.0")
			if n := len(srv.Bodies()); n != 0 {
				t.Error("a message that could not be read was ended with a dot")
			}
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
