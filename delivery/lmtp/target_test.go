package lmtp_test

import (
	"context"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"postrider/delivery/lmtp"
)

func TestParseTarget(t *testing.T) {
	for s, want := range map[string]lmtp.Target{
		"unix:/run/dovecot/lmtp": {Network: "unix", Address: "/run/dovecot/lmtp"},
		"127.0.0.1:24":           {Network: "tcp", Address: "127.0.0.1:24"},
		"store.example:24":       {Network: "tcp", Address: "store.example:24"},
		"[::1]:24":               {Network: "tcp", Address: "[::1]:24"},
		"[IPv6:::1]:24":          {Network: "tcp", Address: "[::1]:24"},
		"unix:lmtp":              {}, "unix:": {}, "": {}, ":24": {}, "store": {}, "store:": {}, "store:0": {}, "store:65536": {}, "store:lmtp": {},
		"unix:/" + strings.Repeat("x", 107): {},
	} {
		got, err := lmtp.ParseTarget(s)
		if got != want || (err == nil) != (want.Network != "") {
			t.Errorf("%q reads as %+v, %v; want %+v", s, got, err, want)
		}
		if again, err := lmtp.ParseTarget(got.String()); want.Network != "" && (err != nil || again != got) {
			t.Errorf("%q prints as %q, which reads as %+v, %v", s, got, again, err)
		}
	}
}

// TestWhereToLook: a store that cannot be reached defers, and says what to do.
func TestWhereToLook(t *testing.T) {
	dir := t.TempDir()
	stale := socketPath(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	denied := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", os.ErrPermission)}
	}
	for name, tt := range map[string]struct {
		target lmtp.Target
		dial   func(context.Context, string, string) (net.Conn, error)
		want   string
		text   string
	}{
		"missing": {lmtp.Target{Network: "unix", Address: dir + "/none"}, nil, "deferred 0 4.3.5", "/none: no such file or directory; start the mail store, or"},
		"stale":   {lmtp.Target{Network: "unix", Address: stale}, nil, "deferred 0 4.4.1", "connection refused; nobody listens there"},
		"denied":  {lmtp.Target{Network: "unix", Address: stale}, denied, "deferred 0 4.3.5", "; let the user that postrider runs as write to the socket"},
		"port":    {lmtp.Target{Network: "tcp", Address: free.Addr().String()}, nil, "deferred 0 4.4.1", "connection refused; nobody listens there"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &lmtp.Client{Dial: tt.dial}
			never := func() (io.ReadCloser, error) { t.Error("the message was opened"); return nil, io.EOF }
			check(t, c.Deliver(t.Context(), tt.target, to("a@x"), never), tt.want, tt.text)
		})
	}
}
