package smtpd_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/smtpd"
)

// What a stream with a false or foreign end of data may lead to.
const (
	one     = "one message that has it all"
	two     = "two messages"
	refused = "550 and the end of the connection"
)

// smuggling lists the ends of data that some server has taken for one (SMTP
// smuggling, 2023), with what becomes of a stream that goes on with a further
// transaction. Over the network only the true end is one. A program of this host
// sends lines with LF, and so LF ends them; what it smuggles it could send openly.
var smuggling = []struct{ end, network, local string }{
	{"\r\n.\r\n", two, two}, // the true one
	{"\n.\n", refused, two},
	{"\n.\r\n", refused, two},
	{"\r\n.\n", refused, two},
	{"\n\n.\r\n", refused, two},
	{"\r\r\n.\r\r\n", one, two},
	{"\r.\r\n", one, one},
	{"\r\n.\r", one, one},
	{"\r.\n", refused, one},
	{"\n.\r", refused, one},
	{"\r.\r", one, one},
	{"\r\n\x00.\r\n", one, one},
	{"\r\n.\x00\r\n", one, one},
	{"\r\n..\r\n", one, one},
}

const (
	bodyStart = "Subject: x\r\n\r\nhello"
	hidden    = "MAIL FROM:<evil@c.test>\r\nRCPT TO:<evil@local.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nx"
)

// outcome says what came of it, by the queue and by the replies.
func (f *fixture) outcome(replies string) string {
	f.t.Helper()
	n := len(f.messages())
	switch {
	case n == 2:
		return two
	case n == 0 && strings.Contains(replies, "\n550 5.5.2"):
		return refused
	case n == 1 && !strings.Contains(replies, "\n550 5.5.2"):
		if _, text := f.only(); strings.Contains(text, "Subject: smuggled") && strings.Contains(text, "hello") {
			return one
		}
	}
	return fmt.Sprintf("%d messages: %s", n, replies)
}

func (f *fixture) play(network, stream string) (replies string) {
	f.t.Helper()
	c := f.dial(network)
	c.send(stream)
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		b.WriteString(line)
		if err != nil {
			return b.String()
		}
	}
}

func TestSmugglingCorpus(t *testing.T) {
	for _, tt := range smuggling {
		t.Run(fmt.Sprintf("%q", tt.end), func(t *testing.T) {
			for network, want := range map[string]string{"tcp": tt.network, "unix": tt.local} {
				f := start(t, nil)
				replies := f.play(network, intro+"DATA\r\n"+bodyStart+tt.end+hidden+"\r\n.\r\nQUIT\r\n")
				if got := f.outcome(replies); got != want {
					t.Errorf("%s: %s, want %s", network, got, want)
				}
				// In a chunk nothing is an end, for its length is told before.
				f = start(t, nil)
				chunk := bodyStart + tt.end + hidden + "\r\n.\r\n"
				replies = f.play(network, intro+fmt.Sprintf("BDAT %d LAST\r\n", len(chunk))+chunk+"QUIT\r\n")
				if got := f.outcome(replies); got != one {
					t.Errorf("%s in a chunk: %s, want %s", network, got, one)
				}
			}
		})
	}
}

// TestSmugglingByLogin: who has logged in may end lines with LF, and no message.
func TestSmugglingByLogin(t *testing.T) {
	for _, tt := range smuggling {
		want := tt.network
		if want == refused {
			want = one
		}
		f := startSecured(t, smtpd.Submission, nil)
		c := f.encrypted()
		c.send("AUTH PLAIN " + b64("\x00"+login+"\x00"+password) + "\r\n" + intro + "DATA\r\n" + bodyStart + tt.end + hidden + "\r\n.\r\nQUIT\r\n")
		var replies strings.Builder
		for {
			line, err := c.r.ReadString('\n')
			replies.WriteString(line)
			if err != nil {
				break
			}
		}
		if got := f.outcome(replies.String()); got != want {
			t.Errorf("%q: %s, want %s", tt.end, got, want)
		}
	}
}
