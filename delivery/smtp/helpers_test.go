package smtp_test

import (
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/delivery/smtp"
	"postrider/internal/address"
	"postrider/internal/smtptest"
)

const body = "Subject: test\r\n\r\nHello.\r\n"

// short keeps tests of waiting short.
var short = smtp.Timeouts{
	Connect: 2 * time.Second, Greeting: 150 * time.Millisecond, Hello: 150 * time.Millisecond,
	StartTLS: 150 * time.Millisecond, Handshake: 500 * time.Millisecond, Auth: 150 * time.Millisecond,
	Mail: 150 * time.Millisecond, Rcpt: 150 * time.Millisecond, Data: 150 * time.Millisecond,
	Block: 150 * time.Millisecond, Final: 150 * time.Millisecond,
}

func newClient(t testing.TB, o smtp.Options) *smtp.Client {
	t.Helper()
	c := smtp.New(o)
	t.Cleanup(c.Close)
	return c
}

func target(addr netip.AddrPort) smtp.Target {
	return smtp.Target{Host: "mx.example.com", Address: addr, Hello: "client.test"}
}

func addr(s string) address.Address {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return address.Address{Local: s}
	}
	return address.Address{Local: s[:at], Domain: s[at+1:]}
}

func open(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}

func message(to ...string) *smtp.Transaction {
	tx := &smtp.Transaction{From: addr("from@example.org"), Size: int64(len(body)), Open: open(body)}
	for _, a := range to {
		tx.Recipients = append(tx.Recipients, smtp.Recipient{Address: addr(a)})
	}
	return tx
}

func script(t testing.TB, s smtptest.Script) *smtptest.Scripted {
	t.Helper()
	return smtptest.NewScript(t, s, nil)
}

func scriptTLS(t testing.TB, s smtptest.Script, cfg *tls.Config) *smtptest.Scripted {
	t.Helper()
	return smtptest.NewScript(t, s, cfg)
}

// result writes a result in short: "done 550 5.1.1", "open 452 4.5.3".
func result(r smtp.RecipientResult) string {
	s := "open "
	if r.Done {
		s = "done "
	}
	code := "-"
	if r.Reply.Code != 0 {
		code = string(rune('0'+r.Reply.Code/100)) + string(rune('0'+r.Reply.Code/10%10)) + string(rune('0'+r.Reply.Code%10))
	}
	return s + code + " " + r.Reply.Status
}

func results(rep *smtp.Report) string {
	var all []string
	for _, r := range rep.Results {
		all = append(all, result(r))
	}
	return strings.Join(all, ", ")
}

func wantResults(t *testing.T, rep *smtp.Report, want string) {
	t.Helper()
	if got := results(rep); got != want {
		t.Errorf("results are %s, want %s (error: %v)", got, want, rep.Err)
	}
}

func wantDelivered(t *testing.T, rep *smtp.Report) {
	t.Helper()
	if rep.Err != nil {
		t.Fatalf("Send failed: %v", rep.Err)
	}
	for i, r := range rep.Results {
		if !r.Done || !r.Reply.Positive() {
			t.Errorf("recipient %d: %s %q, want it delivered", i, result(r), r.Reply.Text)
		}
	}
}

// flags writes the judgement of an error in short.
func flags(e *smtp.Error) string {
	if e == nil {
		return "none"
	}
	s := e.Phase.String()
	for _, f := range []struct {
		set  bool
		name string
	}{
		{e.Temporary(), "temporary"}, {e.NextHost(), "next"}, {e.ConnectFailure(), "connect"},
		{e.PermanentHost, "permanent-host"}, {e.AuthFailure, "auth"}, {e.Loop, "loop"}, {e.Local, "local"},
	} {
		if f.set {
			s += " " + f.name
		}
	}
	return s
}

func wantFlags(t *testing.T, rep *smtp.Report, want string) {
	t.Helper()
	if got := flags(rep.Err); got != want {
		t.Errorf("error is %q, want %q (%v)", got, want, rep.Err)
	}
}

// count counts the lines that begin with a word.
func count(lines []string, word string) int {
	n := 0
	for _, l := range lines {
		if strings.HasPrefix(l, word) {
			n++
		}
	}
	return n
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s did not happen", what)
		}
	}
}

// bothWays gives a script as it stands and, if it can, with PIPELINING besides.
func bothWays(s smtptest.Script) map[string]smtptest.Script {
	both := map[string]smtptest.Script{"": s}
	ehlo := []string{"250-script.test\n250 8BITMIME"}
	if s["EHLO"] != nil {
		ehlo = slices.Clone(s["EHLO"])
	}
	for i := range ehlo {
		last := strings.LastIndexByte(ehlo[i], '\n') + 1
		if !strings.HasPrefix(ehlo[i][last:], "250 ") {
			return both
		}
		ehlo[i] = ehlo[i][:last] + "250-" + ehlo[i][last+4:] + "\n250 PIPELINING"
	}
	p := smtptest.Script{}
	maps.Copy(p, s)
	p["EHLO"] = ehlo
	both[", pipelined"] = p
	return both
}

// messages gives what went out but lone dots.
func messages(srv *smtptest.Scripted) []string {
	return slices.DeleteFunc(srv.Bodies(), func(body string) bool { return body == "" })
}
