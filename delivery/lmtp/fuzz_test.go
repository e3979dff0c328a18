package lmtp

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"postrider/internal/address"
	"postrider/queue"
)

// FuzzReply reads replies from whatever a store may send.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{
		"220 ok\r\n", "250-a\r\n250-SIZE 10\r\n250 8BITMIME\r\n", "250\n", "250-", "99 a\n", "550-5.1.1 a\n550 5.1.1 b\n",
		"250-a\r\n250-size -1\r\n250 SIZE 99999999999999999999\r\n", "2x0 a\n", "\xff\x00\n", "250 " + strings.Repeat("x", 9000) + "\n",
		"250-\n550 \x1b[2J\n", "354 go\r\n250 next\r\n", "452 4.1000.1 a\r\n", "552 5.2.2 a\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		rr := replyReader{bufio.NewReaderSize(bytes.NewReader(data), 16)}
		for {
			r, err := rr.read()
			if err != nil {
				return
			}
			if r.code < 200 || r.code > 599 || len(r.lines) < 3 || len(r.lines) > maxReply {
				t.Fatalf("read code %d of %d bytes", r.code, len(r.lines))
			}
			if o := parseOffers(r); o.most < 0 {
				t.Fatalf("offers %+v", o)
			}
			for _, o := range []*Outcome{verdict(r, "RCPT"), refusal(Target{}, r, "LHLO"), mailRefused(Target{}, r)} {
				checkOutcome(t, *o)
				if (o.Result == queue.Delivered) != (r.class() == 2) && o.Result != queue.Temporary {
					t.Fatalf("%q is judged %+v", r.lines, o)
				}
			}
		}
	})
}

// checkOutcome holds for every outcome.
func checkOutcome(t *testing.T, o Outcome) {
	t.Helper()
	class := map[queue.Result]byte{queue.Delivered: '2', queue.Temporary: '4', queue.Failed: '5'}[o.Result]
	if class == 0 || statusWord("250 "+o.Status) != o.Status || o.Status[0] != class || o.Code != 0 && o.Code/100 != int(class-'0') {
		t.Fatalf("outcome %+v does not agree with itself", o)
	}
	if o.Text == "" || !utf8.ValidString(o.Text) || strings.ContainsFunc(o.Text, unicode.IsControl) {
		t.Fatalf("text %q is not fit to be shown", o.Text)
	}
}

// FuzzDialogue has a store say anything, whatever we say. Nobody counts as delivered
// to but by a reply that came after the dot.
func FuzzDialogue(f *testing.F) {
	const hello = "220 a\r\n250 b\r\n"
	for _, seed := range []string{
		hello + "250 m\r\n250 c\r\n250 d\r\n354 go\r\n250 c\r\n250 d\r\n", hello + "250 m\r\n452 no\r\n250 d\r\n354 go\r\n250 d\r\n250 reset\r\n250 m\r\n",
		hello + "250 m\r\n550 no\r\n421 no\r\n", hello, "554 no\r\n", "220 a\r\n250-b\r\n250 PIPELINING\r\n250 m\r\n250 c\r\n250 d\r\n354 go\r\n250 c\r\n550 d\r\n",
		hello + "250 m\r\n250 c\r\n250 d\r\n354 go\r\n354 c\r\n421 d\r\n", hello + "250 m\r\n250 c\r\n452 4.5.3\r\n354 go\r\n250 c\r\n250 m\r\n250 d\r\n354 go\r\n250 d\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dots := 0
		c := &Client{Dial: func(context.Context, string, string) (net.Conn, error) {
			return &parrot{Reader: oneLineAtATime{bytes.NewReader(data)}, dots: &dots}, nil
		}}
		e := Envelope{From: address.Address{Local: "a", Domain: "b"}}
		for _, local := range []string{"c", "d"} {
			e.Recipients = append(e.Recipients, Recipient{Address: address.Address{Local: local, Domain: "e"}})
		}
		opened := 0
		open := func() (io.ReadCloser, error) {
			opened++
			return io.NopCloser(strings.NewReader("x\r\n")), nil
		}
		for _, o := range c.Deliver(t.Context(), Target{Network: "unix", Address: "/s"}, e, open) {
			checkOutcome(t, o)
			if o.Result == queue.Delivered && (dots == 0 || opened == 0) {
				t.Fatalf("delivered after %q", data)
			}
		}
		if dots > opened || opened > len(e.Recipients) {
			t.Fatalf("%d dots, opened %d times", dots, opened)
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

// parrot is a connection that reads from a fixed text and counts final dots.
type parrot struct {
	io.Reader
	dots *int
}

func (p *parrot) Write(b []byte) (int, error) {
	*p.dots += bytes.Count(b, []byte("\r\n.\r\n"))
	return len(b), nil
}
func (p *parrot) Close() error                     { return nil }
func (p *parrot) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (p *parrot) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (p *parrot) SetDeadline(time.Time) error      { return nil }
func (p *parrot) SetReadDeadline(time.Time) error  { return nil }
func (p *parrot) SetWriteDeadline(time.Time) error { return nil }
