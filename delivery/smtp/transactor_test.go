package smtp

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"postrider/internal/address"
)

// taker is a connection that takes everything and grants it.
type taker struct {
	parrot
	said bytes.Buffer
}

func (c *taker) Write(p []byte) (int, error) { return c.said.Write(p) }
func (c *taker) Read(p []byte) (int, error)  { return copy(p, "250 ok\r\n"), nil }

// TestCommands compares both transactors for everything a host may offer.
func TestCommands(t *testing.T) {
	mails := []gosmtp.MailOptions{
		{}, {Size: 1 << 40}, {Return: gosmtp.DSNReturnFull, EnvelopeID: "a+b=c d~!"}, {Return: gosmtp.DSNReturnHeaders, Size: 7},
	}
	const rfc822, utf8 = gosmtp.DSNAddressTypeRFC822, gosmtp.DSNAddressTypeUTF8
	rcpts := []*gosmtp.RcptOptions{
		nil, {}, {Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifyNever}},
		{Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifySuccess, gosmtp.DSNNotifyFailure, gosmtp.DSNNotifyDelayed}},
		{OriginalRecipientType: rfc822, OriginalRecipient: `"a b"+=\@x`},
		{OriginalRecipientType: utf8, OriginalRecipient: "ü +=\\\x01\x7f€😀\xff@x", Notify: []gosmtp.DSNNotify{gosmtp.DSNNotifyFailure}},
	}
	for bits := range 16 {
		o := offers{eightBit: bits&1 != 0, sizeKnown: bits&2 != 0, dsn: bits&4 != 0, utf8: bits&8 != 0}
		for _, m := range mails {
			for _, path := range []string{"", "a@x", `"q\"\\ b"@x`, "ü@x"} {
				m.UTF8 = o.utf8 && path != ""
				e := &envelope{path: path, mail: m}
				for i, r := range rcpts {
					e.rcpts = append(e.rcpts, forwardPath{index: i, path: path, rcpt: r})
				}
				compareCommands(t, &o, e)
			}
		}
	}
}

// FuzzCommands does so for any text.
func FuzzCommands(f *testing.F) {
	f.Add("a@x", "id", "ü@x", int64(5), uint8(15))
	f.Add("", "a+b", "=", int64(0), uint8(4))
	f.Fuzz(func(t *testing.T, path, id, original string, size int64, bits uint8) {
		if strings.ContainsAny(path, "\r\n") || !isPrintable(id) || size < 0 {
			return
		}
		o := offers{eightBit: bits&1 != 0, sizeKnown: bits&2 != 0, dsn: bits&4 != 0, utf8: bits&8 != 0}
		r := &gosmtp.RcptOptions{OriginalRecipientType: gosmtp.DSNAddressTypeUTF8, OriginalRecipient: original}
		if bits&16 != 0 && isPrintable(original) {
			r.OriginalRecipientType = gosmtp.DSNAddressTypeRFC822
		}
		compareCommands(t, &o, &envelope{path: path, mail: gosmtp.MailOptions{Size: size, EnvelopeID: id}, rcpts: []forwardPath{{path: path, rcpt: r}}})
	})
}

func compareCommands(t *testing.T, o *offers, e *envelope) {
	t.Helper()
	c := New(Options{})
	defer c.Close()
	var lines [2]string
	for i := range lines {
		conn := &taker{}
		w := newWire(conn, c)
		engine := transactor(&pipeline{wire: w, offers: o})
		if i == 0 {
			l, err := newLockstep(w, "me.test", o)
			if err != nil {
				t.Fatal(err)
			}
			engine = l
		}
		if _, _, err := engine.envelope(e, func(int, said) bool { return true }); err != nil {
			t.Fatalf("envelope %+v with %+v: %v", e, o, err)
		}
		lines[i] = strings.TrimSuffix(conn.said.String(), "DATA\r\n")
	}
	if lines[0] != lines[1] {
		t.Fatalf("with %+v go-smtp says\n%q\nand pipelined it is\n%q", o, lines[0], lines[1])
	}
}

// FuzzStuffing compares with the standard library's writer, however the content is
// cut into pieces.
func FuzzStuffing(f *testing.F) {
	for _, s := range []string{"", ".", "..\r\n.", "a\r\n.\r\nb", "a\n.b\n", "\r\n\r\n", "a\r", "\n", "a.\r\n.b\r\n"} {
		f.Add([]byte(s), uint8(1))
		f.Add([]byte(s), uint8(200))
	}
	f.Fuzz(func(t *testing.T, content []byte, size uint8) {
		if bytes.Contains(content, []byte("\r\r")) {
			return // the library sees no line end in CR CR LF
		}
		var want bytes.Buffer
		d := textproto.NewWriter(bufio.NewWriter(&want)).DotWriter()
		if _, err := d.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		var got []byte
		s := &stuffer{}
		for rest := content; len(rest) > 0; {
			n := min(len(rest), int(size)+1)
			got = s.stuff(got, rest[:n])
			rest = rest[n:]
		}
		if got = s.end(got); !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%q goes out as %q, want %q", content, got, want.Bytes())
		}
	})
}

// replier is a host that answers in the order of a list: each command gets the reply
// of its kind, with its own name in it, and the answers are read in pieces.
type replier struct {
	parrot
	offer           string
	mail, data, dot int
	rcpts           map[string]int
	piece           int

	in, out  bytes.Buffer
	content  bool
	gone     bool
	contents int
}

func (h *replier) Read(p []byte) (int, error) {
	return h.out.Read(p[:min(len(p), h.piece)])
}

func (h *replier) Write(p []byte) (int, error) {
	h.in.Write(p)
	for !h.gone {
		line, err := h.in.ReadString('\n')
		if err != nil {
			h.in.WriteString(line)
			break
		}
		h.hear(strings.TrimSuffix(line, "\r\n"))
	}
	return len(p), nil
}

func (h *replier) hear(line string) {
	verb, arg, _ := strings.Cut(line, " ")
	switch {
	case h.content && line == ".":
		h.content = false
		h.reply(h.dot, "dot")
	case h.content:
		h.contents++
	case verb == "EHLO":
		h.out.WriteString(h.offer)
	case verb == "MAIL":
		h.reply(h.mail, "mail")
	case verb == "RCPT":
		h.reply(h.rcpts[arg], arg)
	case verb == "DATA":
		h.content = h.data/100 == 3
		h.reply(h.data, "data")
	default:
		h.reply(250, verb)
	}
}

func (h *replier) reply(code int, text string) {
	fmt.Fprintf(&h.out, "%d-first\r\n%d %s\r\n", code, code, text)
	h.gone = code == 421
}

// FuzzPairing has hosts with and without PIPELINING judge alike: reports must not
// differ, and each recipient must be told its own reply.
func FuzzPairing(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 3, 0, 0, 0})
	f.Add([]byte{5, 0, 1, 2, 2, 2, 3, 0})
	f.Add([]byte{200, 1, 2, 0, 3, 0, 4, 2})
	f.Add([]byte{0, 6, 6, 6, 6, 6, 6, 6})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) < 7 {
			return
		}
		codes := []int{250, 550, 450, 354, 421, 452, 552, 251}
		code := func(i int) int { return codes[int(data[i])%len(codes)] }
		var reports [2]*Report
		for i, offer := range []string{"250 a\r\n", "250-a\r\n250 PIPELINING\r\n"} {
			h := &replier{offer: offer, piece: 1 + int(data[0]), mail: code(1), data: code(2), dot: code(3), rcpts: map[string]int{}}
			h.out.WriteString("220 a\r\n")
			for n := range 3 {
				h.rcpts[fmt.Sprintf("TO:<r%d@x>", n)] = code(4 + n)
			}
			reports[i] = sendTo(t, h)
			checkPairing(t, h, reports[i])
		}
		if h := codes[int(data[1])%len(codes)]; h/100 != 2 {
			return // who grants RCPT after refusing MAIL is cut off when pipelined
		}
		for n := range reports[0].Results {
			if a, b := reports[0].Results[n], reports[1].Results[n]; a != b {
				t.Fatalf("recipient %d: %+v in lock-step, %+v pipelined", n, a, b)
			}
		}
	})
}

func sendTo(t *testing.T, h *replier) *Report {
	dialled := false
	c := New(Options{Logger: slog.New(slog.DiscardHandler), DialContext: func(context.Context, string, string) (net.Conn, error) {
		if dialled {
			return nil, io.EOF
		}
		dialled = true
		return h, nil
	}})
	defer c.Close()
	tx := &Transaction{From: address.Address{Local: "a", Domain: "b"}, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x\r\n")), nil }}
	for n := range 3 {
		tx.Recipients = append(tx.Recipients, Recipient{Address: address.Address{Local: fmt.Sprintf("r%d", n), Domain: "x"}})
	}
	return c.Send(t.Context(), Target{Address: netip.MustParseAddrPort("192.0.2.1:25"), Hello: "me.test"}, tx)
}

func checkPairing(t *testing.T, h *replier, rep *Report) {
	t.Helper()
	for n, r := range rep.Results {
		own := fmt.Sprintf("TO:<r%d@x>", n)
		if strings.Contains(r.Reply.Text, "TO:") && !strings.HasSuffix(r.Reply.Text, own) && (r.Done || rep.Err == nil || !rep.Err.closing()) {
			t.Fatalf("recipient %d is told %q", n, r.Reply.Text)
		}
		if r.Reply.Positive() && (h.rcpts[own]/100 != 2 || h.contents == 0 || !strings.HasSuffix(r.Reply.Text, "dot")) {
			t.Fatalf("recipient %d counts as delivered by %q", n, r.Reply.Text)
		}
	}
}
