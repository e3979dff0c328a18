package daemon

import (
	"log/slog"
	"os"
	"strconv"
	"strings"

	"postrider/internal/config"
)

// newLogger makes the log that is written to w.
func newLogger(w *logWriter, cfg *config.Config, level *slog.LevelVar) *slog.Logger {
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
