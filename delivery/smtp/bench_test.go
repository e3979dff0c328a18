package smtp_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"postrider/delivery/smtp"
	"postrider/internal/smtptest"
)

// BenchmarkSend measures messages one after another on a kept connection.
func BenchmarkSend(b *testing.B) {
	ca := smtptest.NewCA(b)
	b.Run("trivial", func(b *testing.B) { benchmarkSend(b, target(trivial(b, "250 trivial")), 2048) })
	b.Run("trivial PIPELINING", func(b *testing.B) {
		benchmarkSend(b, target(trivial(b, "250-trivial\r\n250 PIPELINING")), 2048)
	})
	b.Run("trivial PIPELINING 200 kB", func(b *testing.B) {
		benchmarkSend(b, target(trivial(b, "250-trivial\r\n250 PIPELINING")), 200<<10)
	})
	b.Run("go-smtp", func(b *testing.B) {
		benchmarkSend(b, target(smtptest.NewSink(b, smtptest.Options{Discard: true}).Addr()), 2048)
	})
	b.Run("go-smtp TLS", func(b *testing.B) {
		tg := target(smtptest.NewSink(b, smtptest.Options{Discard: true, TLS: ca.Server(b, "mx.example.com")}).Addr())
		tg.TLS, tg.RootCAs = smtp.TLSVerify, ca.Pool()
		benchmarkSend(b, tg, 2048)
	})
	b.Run("go-smtp 1 MB", func(b *testing.B) {
		benchmarkSend(b, target(smtptest.NewSink(b, smtptest.Options{Discard: true}).Addr()), 1<<20)
	})
}

func benchmarkSend(b *testing.B, tg smtp.Target, size int) {
	c := smtp.New(smtp.Options{IdleTimeout: time.Minute})
	defer c.Close()
	tg.MaxMessages = 1 << 30
	tx := message("a@example.com")
	content := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", size/64))
	tx.Open = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }
	b.ReportAllocs()
	b.SetBytes(int64(size))
	for b.Loop() {
		if rep := c.Send(b.Context(), tg, tx); rep.Err != nil || !rep.Results[0].Done {
			b.Fatalf("Send failed: %v", rep.Err)
		}
	}
}

// trivial starts a server that does the least there is to do.
func trivial(b *testing.B, hello string) (addr netip.AddrPort) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	b.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer(conn, hello+"\r\n")
		}
	}()
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// answer replies to what has come together together, as RFC 2920 §3.2 advises.
func answer(conn net.Conn, hello string) {
	defer conn.Close()
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	reply, data := "220 trivial ESMTP\r\n", false
	for {
		w.WriteString(reply)
		if r.Buffered() == 0 && w.Flush() != nil {
			return
		}
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			return
		case data && string(line) == ".\r\n":
			reply, data = "250 2.0.0 queued\r\n", false
		case data:
			reply = ""
		case string(line) == "DATA\r\n":
			reply, data = "354 go\r\n", true
		case bytes.HasPrefix(line, []byte("EHLO")):
			reply = hello
		default:
			reply = "250 2.0.0 ok\r\n"
		}
	}
}
