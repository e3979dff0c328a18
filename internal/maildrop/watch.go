package maildrop

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// pollEvery is how long a new file waits at most where the kernel does not tell of
// it, and how long one that could not be taken waits to be tried again.
const pollEvery = 30 * time.Second

// Run takes over what is in the directory and then what arrives, until the
// context ends.
func (r *Reader) Run(ctx context.Context) {
	w := newWatch(r.Dir)
	if w.events == nil {
		r.Logger.Info("maildrop is polled: no inotify", "every", pollEvery, "error", w.err)
	}
	defer w.close()
	for ctx.Err() == nil {
		if _, err := r.Scan(ctx); err != nil && ctx.Err() == nil {
			r.Logger.Error("maildrop not emptied; will be tried again", "in", pollEvery, "error", err)
		}
		w.wait(ctx)
	}
}

// watch waits for files to be finished. It is set up before the first scan, so
// that what arrives during a scan is announced after it.
type watch struct {
	events *os.File // nil where there is no inotify
	err    error
}

func newWatch(dir string) *watch {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return &watch{err: err}
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MOVED_TO|unix.IN_ONLYDIR); err != nil {
		unix.Close(fd)
		return &watch{err: err}
	}
	return &watch{events: os.NewFile(uintptr(fd), "inotify")}
}

// wait returns when something arrived, at the latest after pollEvery.
func (w *watch) wait(ctx context.Context) {
	if w.events == nil || w.events.SetReadDeadline(time.Now().Add(pollEvery)) != nil {
		sleep(ctx, pollEvery)
		return
	}
	stop := context.AfterFunc(ctx, func() { w.events.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := w.events.Read(make([]byte, 16<<10))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		sleep(ctx, pollEvery)
	}
}

func (w *watch) close() {
	if w.events != nil {
		w.events.Close()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
