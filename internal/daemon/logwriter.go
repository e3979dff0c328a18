package daemon

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

const (
	// logDelay is the longest that a line of the log is kept back.
	logDelay = 100 * time.Millisecond
	// logBuffer is how much of the log is kept back.
	logBuffer = 32 << 10
)

// logWriter gathers lines of the log, for one write costs as much as composing
// several lines. A line that comes after a quiet time is written at once; those
// that follow it within logDelay are written together. A process that is killed
// takes these with it. It is safe for concurrent use.
type logWriter struct {
	mu     sync.Mutex
	w      io.Writer
	buf    []byte
	timer  *time.Timer // runs while armed, calls tick
	armed  bool
	closed bool // nothing is kept back any more
}

func newLogWriter(w io.Writer) *logWriter {
	l := &logWriter{w: w}
	l.timer = time.AfterFunc(time.Hour, l.tick)
	l.timer.Stop()
	return l
}

// Write implements io.Writer.
func (l *logWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || !l.armed {
		l.arm()
		return l.w.Write(p)
	}
	if len(l.buf)+len(p) > logBuffer {
		l.flush()
	}
	l.buf = append(l.buf, p...)
	return len(p), nil
}

func (l *logWriter) arm() {
	if l.armed = !l.closed; l.armed {
		l.timer.Reset(logDelay)
	}
}

// tick writes what has come since the line that was written at once. If nothing
// has, the next line is such a line again.
func (l *logWriter) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.buf) == 0 {
		l.armed = false
		return
	}
	l.flush()
	l.arm()
}

// flush writes what was kept back. There is nobody to tell that the log cannot be
// written, as there was nobody before.
func (l *logWriter) flush() {
	if len(l.buf) > 0 {
		_, _ = l.w.Write(l.buf)
		l.buf = l.buf[:0]
	}
}

// Flush writes what was kept back.
func (l *logWriter) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

// Close writes what was kept back, and lets all that follows pass at once. It does
// not close the writer below.
func (l *logWriter) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.closed = true
	l.timer.Stop()
}

// promptHandler has what calls for attention written at once, along with what came
// before it.
type promptHandler struct {
	slog.Handler
	out *logWriter
}

// Handle implements slog.Handler.
func (h promptHandler) Handle(ctx context.Context, r slog.Record) error {
	err := h.Handler.Handle(ctx, r)
	if r.Level >= slog.LevelWarn {
		h.out.Flush()
	}
	return err
}

// WithAttrs implements slog.Handler.
func (h promptHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return promptHandler{h.Handler.WithAttrs(attrs), h.out}
}

// WithGroup implements slog.Handler.
func (h promptHandler) WithGroup(name string) slog.Handler {
	return promptHandler{h.Handler.WithGroup(name), h.out}
}
