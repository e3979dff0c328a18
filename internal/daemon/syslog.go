package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"sync"
)

// openSyslog connects to the host's syslog daemon, or to the one at an address of
// the network "unixgram".
func openSyslog(address string) (*syslog.Writer, error) {
	network := ""
	if address != "" {
		network = "unixgram"
	}
	w, err := syslog.Dial(network, address, syslog.LOG_MAIL|syslog.LOG_INFO, "postrider")
	if err != nil {
		return nil, fmt.Errorf(`log.format is "syslog" but no syslog daemon answers; start one, or set it to "text": %w`, err)
	}
	return w, nil
}

// isNull tells whether what is written to w is lost, as with a daemon that an init
// script has started.
func isNull(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	null, nullErr := os.Stat(os.DevNull)
	return err == nil && nullErr == nil && os.SameFile(info, null)
}

// syslogLines turns records into lines for syslog, each with its severity.
type syslogLines struct {
	mu   *sync.Mutex
	line *bytes.Buffer
	text slog.Handler // writes to line
	out  *syslog.Writer
}

// newSyslogHandler makes a handler that leaves time and level to syslog.
func newSyslogHandler(out *syslog.Writer, level slog.Leveler) slog.Handler {
	line := new(bytes.Buffer)
	text := slog.NewTextHandler(line, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) {
			return slog.Attr{}
		}
		return a
	}})
	return syslogLines{new(sync.Mutex), line, text, out}
}

// Enabled implements slog.Handler.
func (s syslogLines) Enabled(ctx context.Context, l slog.Level) bool { return s.text.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (s syslogLines) Handle(ctx context.Context, r slog.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line.Reset()
	if err := s.text.Handle(ctx, r); err != nil {
		return err
	}
	line := s.line.String()
	switch {
	case r.Level >= slog.LevelError:
		return s.out.Err(line)
	case r.Level >= slog.LevelWarn:
		return s.out.Warning(line)
	case r.Level >= slog.LevelInfo:
		return s.out.Info(line)
	}
	return s.out.Debug(line)
}

// WithAttrs implements slog.Handler.
func (s syslogLines) WithAttrs(attrs []slog.Attr) slog.Handler {
	s.text = s.text.WithAttrs(attrs)
	return s
}

// WithGroup implements slog.Handler.
func (s syslogLines) WithGroup(name string) slog.Handler {
	s.text = s.text.WithGroup(name)
	return s
}
