package daemon

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/config"
)

// writes notes each write.
type writes struct {
	mu   sync.Mutex
	each []string
}

func (w *writes) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.each = append(w.each, string(p))
	return len(p), nil
}

func (w *writes) got() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.each, "|")
}

func TestLogWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{}
		l := newLogWriter(w)
		expect := func(when, want string) {
			t.Helper()
			synctest.Wait()
			if got := w.got(); got != want {
				t.Fatalf("%s: written %q, want %q", when, got, want)
			}
		}
		say := func(s string) { io.WriteString(l, s) }
		say("a")
		expect("after a quiet time", "a")
		say("b")
		say("c")
		expect("soon after", "a")
		time.Sleep(logDelay)
		expect("in time", "a|bc")
		say("d")
		expect("while there is more to come", "a|bc")
		time.Sleep(logDelay)
		expect("in time again", "a|bc|d")
		time.Sleep(logDelay)
		say("e")
		expect("when it is quiet again", "a|bc|d|e")
		say("f")
		l.Flush()
		expect("flushed", "a|bc|d|e|f")
		say("g")
		big := strings.Repeat("x", logBuffer)
		say(big)
		expect("too much to keep", "a|bc|d|e|f|g")
		l.Close()
		say("h")
		expect("closed", "a|bc|d|e|f|g|"+big+"|h")
	})
}

func TestLoggerWritesWarningsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &writes{}
		out := newLogWriter(w)
		defer out.Close()
		log := newTextLogger(out, &config.Config{}, new(slog.LevelVar)).With("k", "v").WithGroup("g")
		log.Info("first")
		log.Info("second")
		if got := w.got(); !strings.Contains(got, "first") || strings.Contains(got, "second") {
			t.Fatalf("written at first: %q", got)
		}
		log.Warn("third", "a", 1)
		got := w.got()
		if second, third := strings.Index(got, "second"), strings.Index(got, "third k=v g.a=1"); second < 0 || third < second {
			t.Fatalf("written after the warning: %q", got)
		}
	})
}
