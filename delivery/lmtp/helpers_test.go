package lmtp_test

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/delivery/lmtp"
	"postrider/internal/address"
	"postrider/internal/smtptest"
)

const body = "Subject: test\r\n\r\nHello.\r\n.dot\r\n"

// short keeps tests of waiting short.
var short = lmtp.Timeouts{
	Connect: 2 * time.Second, Command: 150 * time.Millisecond, Block: 150 * time.Millisecond, Final: 150 * time.Millisecond,
}

func addr(s string) address.Address {
	at := strings.LastIndexByte(s, '@')
	if at < 0 {
		return address.Address{Local: s}
	}
	return address.Address{Local: s[:at], Domain: s[at+1:]}
}

func to(list ...string) lmtp.Envelope {
	e := lmtp.Envelope{From: addr("from@example.org"), Size: int64(len(body))}
	for _, s := range list {
		e.Recipients = append(e.Recipients, lmtp.Recipient{Address: addr(s)})
	}
	return e
}

func open(content string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
}

func tcp(addr netip.AddrPort) lmtp.Target {
	return lmtp.Target{Network: "tcp", Address: addr.String()}
}

// brief writes outcomes in short: "delivered 250 2.0.0, failed 550 5.1.1".
func brief(list []lmtp.Outcome) string {
	var all []string
	for _, o := range list {
		all = append(all, fmt.Sprintf("%s %d %s", o.Result, o.Code, o.Status))
	}
	return strings.Join(all, ", ")
}

// check compares outcomes and looks whether their texts are fit to be shown.
func check(t *testing.T, got []lmtp.Outcome, want string, text ...string) {
	t.Helper()
	if b := brief(got); b != want {
		t.Errorf("outcomes are %s, want %s", b, want)
	}
	for i, o := range got {
		if o.Text == "" || strings.ContainsAny(o.Text, "\r\n\t\x00\x1b") {
			t.Errorf("text %q is not one line", o.Text)
		}
		if i < len(text) && !strings.Contains(o.Text, text[i]) {
			t.Errorf("text %q does not say %q", o.Text, text[i])
		}
	}
	if t.Failed() {
		for _, o := range got {
			t.Logf("%+v", o)
		}
	}
}

// bothWays gives a script as it stands and with PIPELINING.
func bothWays(s smtptest.Script) map[string]smtptest.Script {
	piped := smtptest.Script{}
	for k, v := range s {
		piped[k] = v
	}
	piped["LHLO"] = []string{"250-script.test\n250-8BITMIME\n250 PIPELINING"}
	return map[string]smtptest.Script{"one by one": s, "pipelined": piped}
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

func socketPath(t *testing.T) string { return filepath.Join(t.TempDir(), "lmtp") }

// waitFor waits until the store has read a line.
func waitFor(t *testing.T, srv *smtptest.Scripted, line string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for tick := time.NewTicker(5 * time.Millisecond); count(srv.Lines(), line) == 0; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s was not said", line)
		}
	}
}
