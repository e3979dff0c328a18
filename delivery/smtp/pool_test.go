package smtp_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

func TestReuse(t *testing.T) {
	srv := script(t, nil)
	c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
	for i := range 3 {
		rep := c.Send(t.Context(), target(srv.Addr()), message("a@x"))
		wantDelivered(t, rep)
		if want := i > 0; rep.Reused != want {
			t.Errorf("message %d: reused is %v, want %v", i, rep.Reused, want)
		}
		if rep.TLS != "none (not wanted)" {
			t.Errorf("message %d: TLS is %q", i, rep.TLS)
		}
	}
	if n := c.Idle(); n != 1 {
		t.Errorf("%d connections idle, want 1", n)
	}
	c.Close()
	if n := c.Idle(); n != 0 {
		t.Errorf("%d connections idle after Close, want none", n)
	}
	eventually(t, "QUIT", func() bool { return count(srv.Lines(), "QUIT") == 1 })
	lines := srv.Lines()
	if count(lines, "EHLO") != 1 || count(lines, "RSET") != 0 || count(lines, "MAIL") != 3 {
		t.Errorf("dialogue was %q, want MAIL directly after each message", lines)
	}
	// A closed client still sends, but keeps nothing.
	wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")))
	if n := c.Idle(); n != 0 {
		t.Errorf("%d connections kept after Close", n)
	}
}

// TestReuseAfterRefusals checks what a transaction left half-way leaves behind.
func TestReuseAfterRefusals(t *testing.T) {
	tests := map[string]struct {
		script smtptest.Script
		rset   int
	}{
		"RCPT": {smtptest.Script{"RCPT": {"550 no", "250 ok"}}, 1},
		"DATA": {smtptest.Script{"DATA": {"451 no", "354 go"}}, 1},
		"MAIL": {smtptest.Script{"MAIL": {"550 no", "250 ok"}}, 0},
		"dot":  {smtptest.Script{smtptest.Dot: {"554 no", "250 ok"}}, 0},
	}
	for name, test := range tests {
		for mode, s := range bothWays(test.script) {
			if name == "MAIL" && mode != "" {
				// What is said ahead is refused too.
				s["RCPT"], s["DATA"] = []string{"503 no MAIL", "250 ok"}, []string{"503 no RCPT", "354 go"}
			}
			t.Run(name+mode, func(t *testing.T) {
				srv := script(t, s)
				c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
				c.Send(t.Context(), target(srv.Addr()), message("a@x"))
				rep := c.Send(t.Context(), target(srv.Addr()), message("a@x"))
				wantDelivered(t, rep)
				if !rep.Reused {
					t.Error("the connection was not reused")
				}
				if n := count(srv.Lines(), "RSET"); n != test.rset {
					t.Errorf("%d RSET, want %d", n, test.rset)
				}
			})
		}
	}
}

// TestStaleReuse has the host close kept connections.
func TestStaleReuse(t *testing.T) {
	tests := map[string]smtptest.Script{
		"closed":         {},
		"421 on MAIL":    {"MAIL": {"250 ok", "421 4.4.2 idle" + smtptest.Drop, "250 ok"}},
		"drop on MAIL":   {"MAIL": {"250 ok", smtptest.Drop, "250 ok"}},
		"421 beforehand": {smtptest.Dot: {"250 ok\n421 4.4.2 bye", "250 ok"}},
	}
	for name, test := range tests {
		for mode, s := range bothWays(test) {
			t.Run(name+mode, func(t *testing.T) {
				srv := script(t, s)
				c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
				wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")))
				if name == "closed" {
					srv.DropClients()
				}
				rep := c.Send(t.Context(), target(srv.Addr()), message("a@x"))
				wantDelivered(t, rep)
				if rep.Reused || srv.Connections() != 2 {
					t.Errorf("reused is %v after %d connections, want a second one", rep.Reused, srv.Connections())
				}
			})
		}
	}
}

// TestStaleOnlyOnce: a fresh connection that fails the same way is the host's fault.
func TestStaleOnlyOnce(t *testing.T) {
	srv := script(t, smtptest.Script{"MAIL": {"250 ok", smtptest.Drop}})
	c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
	wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")))
	rep := c.Send(t.Context(), target(srv.Addr()), message("a@x"))
	wantFlags(t, rep, "MAIL temporary next")
	if n := srv.Connections(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestLateFailureOfReused: after MAIL something was attempted, so no second try.
func TestLateFailureOfReused(t *testing.T) {
	srv := script(t, smtptest.Script{"RCPT": {"250 ok", smtptest.Drop}})
	c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
	wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")))
	wantFlags(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")), "RCPT temporary next")
	if n := srv.Connections(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

func TestMaxMessages(t *testing.T) {
	srv := script(t, nil)
	c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
	tg := target(srv.Addr())
	tg.MaxMessages = 2
	for range 4 {
		wantDelivered(t, c.Send(t.Context(), tg, message("a@x")))
	}
	if n := srv.Connections(); n != 2 {
		t.Errorf("%d connections for 4 messages, want 2", n)
	}
}

func TestMaxAge(t *testing.T) {
	srv := script(t, nil)
	var now struct {
		sync.Mutex
		time.Time
	}
	now.Time = time.Now()
	c := newClient(t, smtp.Options{IdleTimeout: time.Minute, Now: func() time.Time {
		now.Lock()
		defer now.Unlock()
		return now.Time
	}})
	for range 3 {
		wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")))
		now.Lock()
		now.Time = now.Add(200 * time.Second)
		now.Unlock()
	}
	// Made at 0 s, used at 0 and 200 s; at 400 s it was too old to be kept.
	if n := srv.Connections(); n != 1 || c.Idle() != 0 {
		t.Errorf("%d connections, %d idle; want one that is gone", n, c.Idle())
	}
}

func TestIdleTimeout(t *testing.T) {
	srv := script(t, nil)
	c := newClient(t, smtp.Options{IdleTimeout: 20 * time.Millisecond})
	wantDelivered(t, c.Send(t.Context(), target(srv.Addr()), message("a@x")))
	eventually(t, "end of the idle connection", func() bool { return c.Idle() == 0 && count(srv.Lines(), "QUIT") == 1 })
}

// TestNotShared: connections serve only the conditions they were made under.
func TestNotShared(t *testing.T) {
	ca := smtptest.NewCA(t)
	sink := smtptest.NewSink(t, smtptest.Options{TLS: ca.Server(t, "mx.example.com", "other.example.com"), Users: map[string]string{"u": "p", "v": "p"}, DSN: true})
	c := newClient(t, smtp.Options{IdleTimeout: time.Minute})
	base := target(sink.Addr())
	base.RootCAs, base.TLS = ca.Pool(), smtp.TLSVerify
	base.Auth = &smtp.Credentials{Username: "u", Password: "p"}
	changes := map[string]func(*smtp.Target){
		"mode": func(t *smtp.Target) { t.TLS = smtp.TLSRequired },
		"host": func(t *smtp.Target) { t.Host = "other.example.com" },
		"name": func(t *smtp.Target) { t.Hello = "second.client.test" },
		"user": func(t *smtp.Target) { t.Auth = &smtp.Credentials{Username: "v", Password: "p"} },
		"same": func(*smtp.Target) {},
	}
	wantDelivered(t, c.Send(t.Context(), base, message("a@x")))
	for name, change := range changes {
		tg := base
		change(&tg)
		rep := c.Send(t.Context(), tg, message("a@x"))
		wantDelivered(t, rep)
		if want := name == "same"; rep.Reused != want {
			t.Errorf("other %s: reused is %v, want %v", name, rep.Reused, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	const workers, each = 8, 30
	sink := smtptest.NewSink(t, smtptest.Options{})
	c := newClient(t, smtp.Options{IdleTimeout: 2 * time.Millisecond})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed []*smtp.Error
	for range workers {
		wg.Go(func() {
			for range each {
				if rep := c.Send(t.Context(), target(sink.Addr()), message("a@x")); rep.Err != nil {
					mu.Lock()
					failed = append(failed, rep.Err)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if len(failed) > 0 || sink.Count() != workers*each {
		t.Errorf("%d messages arrived, want %d; errors: %v", sink.Count(), workers*each, slices.Compact(failed))
	}
}
