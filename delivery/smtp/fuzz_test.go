package smtp

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"postrider/internal/address"
)

// FuzzReply reads replies from whatever a peer may send.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"220 ok\r\n", "250-a\r\n250-SIZE 10\r\n250 8BITMIME\r\n", "250\n", "250-", "99 a\n", "550-5.1.1 a\n550 5.1.1 b\n",
		"250-a\r\n250-auth=PLAIN\r\n250-LIMITS RCPTMAX=1 MAILMAX=x\r\n250 size 99999999999999999999\r\n", "2x0 a\n", "\xff\x00\n",
		"250 " + strings.Repeat("x", 5000) + "\n", "354 go\r\n250 next\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const most = 6000
		r := newReplyReader(bytes.NewReader(data), most)
		for {
			s, err := r.read()
			if err != nil {
				return
			}
			if s.code < 200 || s.code > 599 || len(s.lines) < 3 || len(s.lines) > most {
				t.Fatalf("read code %d of %d bytes", s.code, len(s.lines))
			}
			reply := s.reply()
			if !isStatus(reply.Status) && s.class() != 3 || int(reply.Status[0]-'0') != s.class() {
				t.Fatalf("status %q of reply %q", reply.Status, reply.Text)
			}
			if !utf8.ValidString(reply.Text) || strings.ContainsAny(reply.Text, "\r\x00\x1b") {
				t.Fatalf("text %q is not fit for a terminal", reply.Text)
			}
			checkOffers(t, parseOffers(string(s.lines)))
		}
	})
}

func checkOffers(t *testing.T, o offers) {
	t.Helper()
	if o.size < 0 || o.rcptMax < 0 || o.mailMax < 0 {
		t.Fatalf("negative limits: %+v", o)
	}
	hello := string(o.forGoSMTP())
	if again := parseOffers(strings.ReplaceAll(strings.TrimSpace(hello), "\r\n", "\n")); again.dsn != o.dsn || again.utf8 != o.utf8 || again.eightBit != o.eightBit || again.sizeKnown != o.sizeKnown {
		t.Fatalf("offers %+v were handed on as %q", o, hello)
	}
}

// FuzzDialogue has a peer say anything, whatever we say.
func FuzzDialogue(f *testing.F) {
	const hello = "220 a\r\n250-b\r\n250 DSN\r\n"
	for _, seed := range []string{
		hello + "250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n", hello + "250 ok\r\n452 no\r\n250 ok\r\n354 go\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n550 ok\r\n",
		hello + "250 ok\r\n550 no\r\n421 no\r\n", hello, "554 no\r\n", "220 a\r\n500 b\r\n250 c\r\n", hello + "250 ok\r\n250 ok\r\n552 ok\r\n251 ok\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c := New(Options{Logger: slog.New(slog.DiscardHandler), DialContext: func(context.Context, string, string) (net.Conn, error) {
			return &parrot{Reader: oneLineAtATime{bytes.NewReader(data)}}, nil
		}})
		defer c.Close()
		tx := &Transaction{From: address.Address{Local: "a", Domain: "b"}, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x\r\n")), nil }}
		for _, local := range []string{"c", "d"} {
			tx.Recipients = append(tx.Recipients, Recipient{Address: address.Address{Local: local, Domain: "e"}})
		}
		rep := c.Send(t.Context(), Target{Address: netip.MustParseAddrPort("192.0.2.1:25"), Hello: "me.test"}, tx)
		for i, r := range rep.Results {
			if !isStatus(r.Reply.Status) || r.Reply.Text == "" {
				t.Fatalf("recipient %d is told %+v", i, r.Reply)
			}
			if r.Reply.Code != 0 && byte('0'+r.Reply.Code/100) != r.Reply.Status[0] {
				t.Fatalf("code %d with status %s", r.Reply.Code, r.Reply.Status)
			}
			if r.Reply.Positive() && (!r.Done || bytes.Count(data, []byte("\n")) < 6) {
				t.Fatalf("delivered after %q", data)
			}
		}
	})
}

// oneLineAtATime gives each line by itself, as a peer that waits for commands does.
type oneLineAtATime struct{ *bytes.Reader }

func (o oneLineAtATime) Read(p []byte) (int, error) {
	for i := range p {
		b, err := o.ReadByte()
		if err != nil {
			return i, err
		}
		if p[i] = b; b == '\n' {
			return i + 1, nil
		}
	}
	return len(p), nil
}

// parrot is a connection that reads from a fixed text.
type parrot struct {
	io.Reader
}

func (p *parrot) Write(b []byte) (int, error)      { return len(b), nil }
func (p *parrot) Close() error                     { return nil }
func (p *parrot) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (p *parrot) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (p *parrot) SetDeadline(time.Time) error      { return nil }
func (p *parrot) SetReadDeadline(time.Time) error  { return nil }
func (p *parrot) SetWriteDeadline(time.Time) error { return nil }
