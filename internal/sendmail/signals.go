package sendmail

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"postrider/internal/sysexits"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted by a signal")

// Interrupts looks after the signals by which a caller takes a message back, while
// there is something to clean up or the message is durable already: the way being
// tried is stopped, and cleans up; once the message is durable the signal comes too
// late, and ends the process as if all were done. At any other time such a signal
// ends the process by itself, and nothing need be watched: that would cost the
// usual call two threads and a quarter of its time.
type Interrupts struct {
	signals chan os.Signal
	done    chan struct{}
	ended   chan struct{}
	stopWay context.CancelCauseFunc

	mu      sync.Mutex
	durable bool
}

// watchSignals begins to watch; a signal calls stopWay. Signals that the caller
// chose to ignore (nohup) stay ignored.
func watchSignals(stopWay context.CancelCauseFunc) *Interrupts {
	i := &Interrupts{signals: make(chan os.Signal, 1), done: make(chan struct{}), ended: make(chan struct{}), stopWay: stopWay}
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(i.signals, s)
		}
	}
	go i.loop()
	return i
}

// ignorePipeSignal has writing fail where nobody reads. It is no signal of the
// caller's, and our report that fails must not look like a message that did.
func ignorePipeSignal() { signal.Ignore(unix.SIGPIPE) }

func (i *Interrupts) loop() {
	defer close(i.ended)
	for {
		select {
		case <-i.done:
			return
		case <-i.signals:
			i.interrupt()
		}
	}
}

func (i *Interrupts) interrupt() {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.durable {
		os.Exit(sysexits.OK)
	}
	i.stopWay(errInterrupted)
}

// committed notes that the message is durable.
func (i *Interrupts) committed() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.durable = true
}

// stop ends the watch.
func (i *Interrupts) stop() {
	signal.Stop(i.signals)
	close(i.done)
	<-i.ended
}

// watch begins the watch if it has not begun and gives the context that a signal
// ends.
func (r *run) watch(ctx context.Context) context.Context {
	if r.env.Watch == nil || r.interrupts != nil {
		return ctx
	}
	ctx, cancel := context.WithCancelCause(ctx)
	r.interrupts = r.env.Watch(cancel)
	return ctx
}

// committed notes that the message is durable, if there is a watch.
func (r *run) committed() {
	if r.interrupts != nil {
		r.interrupts.committed()
	}
}

// unwatch ends the watch if there is one.
func (r *run) unwatch() {
	if r.interrupts != nil {
		r.interrupts.stop()
		r.interrupts = nil
	}
}
