package smtpd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/internal/submission"
)

// recorder is an engine backend that keeps each message it was given whole.
type recorder struct {
	mu       sync.Mutex
	messages []string
}

func (r *recorder) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return recorderSession{r, c.Conn().(*guard)}, nil
}

type recorderSession struct {
	*recorder
	guard *guard
}

func (recorderSession) Reset()                               {}
func (recorderSession) Logout() error                        { return nil }
func (recorderSession) Mail(string, *smtp.MailOptions) error { return nil }
func (recorderSession) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (s recorderSession) Data(r io.Reader) error {
	from := s.guard.message(r)
	b, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	if _, direct := from.(messageReader); direct {
		if bytes.IndexByte(b, '\r') >= 0 {
			return errors.New("a CR came through")
		}
		b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.messages = append(s.messages, string(b))
	return nil
}

// oneConn is a listener with a single connection. It closes itself when that has
// been taken.
type oneConn struct{ conn net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	if c := l.conn; c != nil {
		l.conn = nil
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l *oneConn) Close() error   { return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "test", Net: "unix"} }

// scripted is a client that sends pieces without waiting and drops the replies.
type scripted struct {
	net.Conn // nil: what is not overridden must not be called
	in       []byte
	piece    int
	out      bytes.Buffer
}

func (c *scripted) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in[:min(c.piece, len(c.in))])
	c.in = c.in[n:]
	return n, nil
}
func (c *scripted) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *scripted) Close() error                     { return nil }
func (c *scripted) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9} }
func (c *scripted) SetReadDeadline(time.Time) error  { return nil }
func (c *scripted) SetWriteDeadline(time.Time) error { return nil }

// run plays a byte stream to a guarded engine and gives the messages taken and
// everything that was said.
func run(t *testing.T, stream string, piece int) (messages []string, replies string) {
	t.Helper()
	in := submission.New(submission.Options{Origin: "origin.test"})
	s := New(Options{Intake: in, Hostname: "host.test", Logger: slog.New(slog.DiscardHandler)})
	rec := &recorder{}
	s.engine.Backend = rec
	c := &scripted{in: []byte(stream), piece: piece}
	if err := s.ServeTCP(context.Background(), &oneConn{conn: c}, Relay); err != nil {
		t.Fatal(err)
	}
	if err := s.engine.Shutdown(context.Background()); err != nil && !errors.Is(err, smtp.ErrServerClosed) {
		t.Fatal(err)
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.messages, c.out.String()
}

const envelope = "EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<b@host.test>\r\n"

func TestGuardAgainstEngineTraps(t *testing.T) {
	tests := []struct {
		name     string
		stream   string
		messages []string
		says     string
	}{
		{"plain", envelope + "DATA\r\nhi\r\n..\r\n.\r\nQUIT\r\n", []string{"hi\r\n.\r\n"}, "221 "},
		{"two in one write", envelope + "DATA\r\n1\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<b@host.test>\r\nDATA\r\n2\r\n.\r\nQUIT\r\n",
			[]string{"1\r\n", "2\r\n"}, "221 "},
		{"end of input in a body", envelope + "DATA\r\nhi\r\n", nil, "354 "},
		{"end of input in a last chunk", envelope + "BDAT 10 LAST\r\nhi\r\n", nil, ""},
		{"chunks", envelope + "BDAT 3\r\nab\nBDAT 2\r\ncdBDAT 0 LAST\r\nQUIT\r\n", []string{"ab\ncd"}, "221 "},
		{"dots in chunks", envelope + "BDAT 9 LAST\r\na\r\n.\r\nb\r\nQUIT\r\n", []string{"a\r\n.\r\nb\r\n"}, "221 "},
		{"chunk of a refused transaction", "EHLO c\r\nBDAT 12 LAST\r\nMAIL FROM:<>NOOP\r\nQUIT\r\n", nil, "503 "},
		{"chunk size unreadable", envelope + "BDAT x LAST\r\nMAIL FROM:<>\r\n", nil, "501 "},
		{"chunk size negative", envelope + "BDAT -5 LAST\r\nMAIL FROM:<>\r\n", nil, "501 "},
		{"reset among chunks ends the connection", envelope + "BDAT 2\r\nabRSET\r\n" + envelope + "BDAT 2 LAST\r\nxy", nil, "250 2.0.0 Session reset"},
		{"line too long", "EHLO " + strings.Repeat("x", 5000) + "\r\n" + envelope + "DATA\r\nhi\r\n.\r\n", nil, "500 5.5.2"},
		{"HTTP", "POST / HTTP/1.1\r\nHost: x\r\n\r\n" + envelope + "DATA\r\nhi\r\n.\r\n", nil, "421 4.7.0"},
		{"control characters", "EHLO a\x00b\r\nNOOP\r\n", nil, "501 5.5.2"},
		{"parameter twice", "EHLO c\r\nMAIL FROM:<a@b> SIZE=1 size=2\r\n", nil, "501 5.5.4"},
		{"unknown parameter", "EHLO c\r\nMAIL FROM:<a@b> HOLDFOR=5\r\n", nil, "555 5.5.4"},
		{"out of order", "EHLO c\r\nRCPT TO:<a@b>\r\n", nil, "503 5.5.1"},
		{"bare postmaster", "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n", nil, "250 2.1.5"},
		{"bare recipient from afar", "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice>\r\n", nil, "501 "},
		{"help", "HELP\r\n", nil, "214 "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 7, 1 << 20} {
				messages, replies := run(t, tt.stream, piece)
				if strings.Join(messages, "|") != strings.Join(tt.messages, "|") {
					t.Errorf("in pieces of %d: messages %q, want %q\n%s", piece, messages, tt.messages, replies)
				}
				if !strings.Contains(replies, "\n"+tt.says) {
					t.Errorf("in pieces of %d: replies lack %q:\n%s", piece, tt.says, replies)
				}
			}
		})
	}
}

// TestSmuggling tries every false end of data of which another server might make
// a true one. None may bring in a second message.
func TestSmuggling(t *testing.T) {
	ends := []string{
		"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r\r\n.\r\r\n", "\r\n.\r\r\n",
		"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\x00\n.\r\n", "\x00\r\n.\n", "\n\r.\n\r", "\r\n.\n\r", "\n\n.\r\n", "\r\n .\r\n",
	}
	const inner = "MAIL FROM:<evil@c.test>\r\nRCPT TO:<b@host.test>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n"
	for _, end := range ends {
		for _, piece := range []int{1, 3, 1 << 20} {
			messages, replies := run(t, envelope+"DATA\r\nSubject: x\r\n\r\nhello"+end+inner, piece)
			if len(messages) > 1 {
				t.Errorf("%q in pieces of %d brought in %q", end, piece, messages)
			}
			if len(messages) == 1 && !strings.Contains(messages[0], "smuggled") {
				t.Errorf("%q ended the message: %q", end, messages)
			}
			refused := strings.Contains(replies, "\n550 5.5.2")
			if hasBareLF(end) != refused {
				t.Errorf("%q: bare LF refused: %v\n%s", end, refused, replies)
			}
		}
	}
	// The same with the true end, to see that the stream is one.
	if messages, _ := run(t, envelope+"DATA\r\nhello\r\n.\r\n"+inner, 3); len(messages) != 2 {
		t.Errorf("true end of data: %q", messages)
	}
	if messages, replies := run(t, envelope+"DATA\r\nhello\r\r\n.\r\nQUIT\r\n", 1); len(messages) != 1 || messages[0] != "hello \r\n" {
		t.Errorf("stray CR before the end: %q\n%s", messages, replies)
	}
}

func hasBareLF(s string) bool { return strings.Contains(strings.ReplaceAll(s, "\r\n", ""), "\n") }
