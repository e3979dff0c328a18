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

// Interrupts looks after the signals by which a caller takes a message back. Until
// the message is complete such a signal ends the process on the spot; from then
// until it is durable the way being tried is stopped, and cleans up; after that the
// signal comes too late, and ends the process as if all were done.
type Interrupts struct {
	signals chan os.Signal
	done    chan struct{}
	ended   chan struct{}

	mu      sync.Mutex
	handing context.CancelCauseFunc
	durable bool
}

// watchSignals leaves signals that the caller chose to ignore (nohup) ignored.
// SIGPIPE is no signal of the caller's: writing to a daemon that dies raises it too,
// and then there are other ways in.
func watchSignals() *Interrupts {
	i := &Interrupts{signals: make(chan os.Signal, 1), done: make(chan struct{}), ended: make(chan struct{})}
	signal.Ignore(unix.SIGPIPE)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP} {
		if !signal.Ignored(s) {
			signal.Notify(i.signals, s)
		}
	}
	go i.loop()
	return i
}

func (i *Interrupts) loop() {
	defer close(i.ended)
	for {
		select {
		case <-i.done:
			return
		case s := <-i.signals:
			i.interrupt(s)
		}
	}
}

func (i *Interrupts) interrupt(s os.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case i.durable:
		os.Exit(sysexits.OK)
	case i.handing != nil:
		i.handing(errInterrupted)
		return
	}
	signal.Reset(s)
	if n, ok := s.(unix.Signal); ok {
		unix.Kill(unix.Getpid(), n)
	}
	os.Exit(sysexits.TempFail)
}

// protect gives a context that a signal ends, for the time in which there may be
// something to clean up.
func (i *Interrupts) protect(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if i != nil {
		i.mu.Lock()
		i.handing = cancel
		i.mu.Unlock()
	}
	return ctx, func() { cancel(nil) }
}

// committed notes that the message is durable.
func (i *Interrupts) committed() {
	if i != nil {
		i.mu.Lock()
		i.durable = true
		i.mu.Unlock()
	}
}

// stop ends the watch.
func (i *Interrupts) stop() {
	if i != nil {
		signal.Stop(i.signals)
		close(i.done)
		<-i.ended
	}
}
