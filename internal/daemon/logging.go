package daemon

import (
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"

	"postrider/internal/config"
)

// newLogger makes the log: by way of syslog if so configured, or if what is written
// to stderr would be lost; else written to w, which writes there.
func newLogger(w *logWriter, stderr io.Writer, cfg *config.Config, level *slog.LevelVar) (*slog.Logger, error) {
	if cfg.Log.Format == "syslog" || cfg.Log.Format == "auto" && isNull(stderr) {
		out, err := openSyslog("")
		switch {
		case err == nil:
			level.Set(levelOf(cfg))
			return slog.New(newSyslogHandler(out, level)), nil
		case cfg.Log.Format == "syslog":
			return nil, &ConfigError{err}
		}
	}
	return newTextLogger(w, cfg, level), nil
}

func newTextLogger(w *logWriter, cfg *config.Config, level *slog.LevelVar) *slog.Logger {
	level.Set(levelOf(cfg))
	options := &slog.HandlerOptions{Level: level}
	if cfg.Log.Format == "json" {
		return slog.New(promptHandler{slog.NewJSONHandler(w, options), w})
	}
	if os.Getenv("JOURNAL_STREAM") != "" {
		// The journal has its own times.
		options.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	return slog.New(promptHandler{slog.NewTextHandler(w, options), w})
}

func levelOf(cfg *config.Config) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(cfg.Log.Level)) != nil {
		return slog.LevelInfo
	}
	return l
}

// commandName reads the name of a process; it may be gone already.
func commandName(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}
