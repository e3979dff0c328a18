package lmtp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/internal/address"
	"postrider/queue"
)

// recording is a connection that cannot be closed and keeps what is said.
type recording struct {
	parrot
	said bytes.Buffer
}

func (r *recording) Write(b []byte) (int, error) { return r.said.Write(b) }

// TestDotUnsaid: whatever ends content before its dot, nothing is said after it.
func TestDotUnsaid(t *testing.T) {
	for name, content := range map[string]io.Reader{
		"given up": strings.NewReader("x\r\n"),
		"broken":   io.MultiReader(strings.NewReader("x\r\n"), iotest.ErrReader(errors.New("bad block"))),
	} {
		t.Run(name, func(t *testing.T) {
			conn := &recording{parrot: parrot{Reader: oneLineAtATime{bytes.NewReader([]byte("220 a\r\n250 b\r\n250 m\r\n250 c\r\n354 go\r\n250 c\r\n"))}}}
			ctx, cancel := context.WithCancel(t.Context())
			c := &Client{Dial: func(context.Context, string, string) (net.Conn, error) { return conn, nil }}
			e := Envelope{Recipients: []Recipient{{Address: address.Address{Local: "c", Domain: "e"}}}, OnData: cancel}
			got := c.Deliver(ctx, Target{Network: "unix", Address: "/s"}, e, func() (io.ReadCloser, error) { return io.NopCloser(content), nil })
			if got[0].Result != queue.Temporary {
				t.Errorf("outcome %+v", got[0])
			}
			if _, after, ok := strings.Cut(conn.said.String(), "DATA\r\n"); !ok || after != "" && after != "x\r\n" {
				t.Errorf("%q was said after DATA", after)
			}
		})
	}
}
