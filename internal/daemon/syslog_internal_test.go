package daemon

import (
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSyslogLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	server, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	out, err := openSyslog(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	logger := slog.New(newSyslogHandler(out, slog.LevelInfo)).With("part", "x")
	logger.Debug("not this")
	logger.Info("delivery", "id", "1A", "reply", "two\nlines")
	logger.Warn("careful")
	logger.Error("broken")
	buf := make([]byte, 4096)
	// The facility is mail (2), the severities 6, 4 and 3 (RFC 5424 §6.2.1).
	for _, want := range []struct{ start, line string }{
		{"<22>", `msg=delivery part=x id=1A reply="two\nlines"`},
		{"<20>", "msg=careful part=x"},
		{"<19>", "msg=broken part=x"},
	} {
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.TrimSuffix(string(buf[:n]), "\n")
		if !strings.HasPrefix(got, want.start) || !strings.Contains(got, "postrider[") || !strings.HasSuffix(got, ": "+want.line) {
			t.Errorf("got %q, want %s… %s", got, want.start, want.line)
		}
	}
}

func TestNoSyslogDaemon(t *testing.T) {
	if _, err := openSyslog(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "no syslog daemon answers") {
		t.Errorf("got %v", err)
	}
}

func TestIsNull(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if !isNull(null) || isNull(file) {
		t.Errorf("null %v, file %v", isNull(null), isNull(file))
	}
}
