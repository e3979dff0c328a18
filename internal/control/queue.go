package control

import (
	"bufio"
	"context"
	"errors"
	"io"
	"reflect"
	"time"

	"postrider/queue"
)

// Queue is what can be seen and done.
type Queue interface {
	// List writes the messages that match to w.
	List(ctx context.Context, f queue.Filter, format Format, w io.Writer) error
	// Show gives one message with its attempts, in the queue or remembered.
	Show(ctx context.Context, id queue.ID) (*Details, error)
	// Cat writes a message as it is stored.
	Cat(ctx context.Context, id queue.ID, w io.Writer) error
	// Flush has the messages that match tried now. With force, even those for
	// destinations that an administrator suspended: that is ended.
	Flush(ctx context.Context, f queue.Filter, force bool) (Flushed, error)
	// Act does something to messages.
	Act(ctx context.Context, o Order) (Count, error)
	// Suspend has mail for destinations wait, or tried again.
	Suspend(ctx context.Context, ask Suspension) (Suspended, error)
	// Stats counts what waits.
	Stats(ctx context.Context) (*Stats, error)
}

// Count says how many messages an operation touched.
type Count struct {
	Messages int `json:"messages"`
	// Busy is how many of them were being delivered just then, and passed over for
	// the recipients concerned.
	Busy int `json:"busy,omitempty"`
}

// Flushed says what is due now.
type Flushed struct {
	Messages int `json:"messages"`
	// Matched is how many messages were looked at; negative if that is not told.
	Matched int `json:"matched"`
	// Suspended are destinations concerned that an administrator keeps suspended.
	Suspended []string `json:"suspended,omitempty"`
}

// window is how many messages are looked at in one step.
const window = 500

// Local is Queue on an open store, without asking who calls.
type Local struct {
	Store queue.Store
	// Kick, if set, is told of destinations whose mail has become due.
	Kick func(destinations ...string)
}

// List implements Queue.
func (l *Local) List(ctx context.Context, f queue.Filter, format Format, w io.Writer) error {
	return l.list(ctx, f, format, w, func(e *queue.Entry) *queue.Entry { return e })
}

// list lists what view makes of the entries.
func (l *Local) list(ctx context.Context, f queue.Filter, format Format, w io.Writer, view func(*queue.Entry) *queue.Entry) error {
	out := bufio.NewWriterSize(w, 64<<10)
	p, err := newPrinter(format, out, time.Now(), reflect.ValueOf(f).IsZero())
	if err != nil {
		return err
	}
	err = l.each(ctx, f, func(entries []queue.Entry) error {
		for i := range entries {
			if err := p.entry(view(&entries[i])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := p.end(); err != nil {
		return err
	}
	return out.Flush()
}

// each calls fn with the entries that match, window by window. The next window is
// read while fn works on one.
func (l *Local) each(ctx context.Context, f queue.Filter, fn func([]queue.Entry) error) error {
	ctx, stop := context.WithCancel(ctx)
	windows, failed := make(chan []queue.Entry), make(chan error, 1)
	go func() {
		defer close(windows)
		failed <- l.read(ctx, f, windows)
	}()
	var err error
	for entries := range windows {
		if err == nil {
			if err = fn(entries); err != nil {
				stop()
			}
		}
	}
	stop()
	if readErr := <-failed; err == nil {
		err = readErr
	}
	return err
}

func (l *Local) read(ctx context.Context, f queue.Filter, windows chan<- []queue.Entry) error {
	var after queue.ID
	for {
		entries, next, err := l.Store.List(ctx, f, after, window)
		if err != nil {
			return err
		}
		select {
		case windows <- entries:
		case <-ctx.Done():
			return ctx.Err()
		}
		if next == 0 {
			return nil
		}
		after = next
	}
}

// Show implements Queue.
func (l *Local) Show(ctx context.Context, id queue.ID) (*Details, error) {
	e, history, err := l.message(ctx, id)
	if err != nil {
		return nil, err
	}
	return newDetails(e, history), nil
}

// showSender is Show for the user who sent the message.
func (l *Local) showSender(ctx context.Context, id queue.ID) (*Details, error) {
	e, history, err := l.message(ctx, id)
	if err != nil {
		return nil, err
	}
	return newDetails(senderView(e), senderHistory(e, history)), nil
}

// message reads a message with its attempts, in the queue or remembered.
func (l *Local) message(ctx context.Context, id queue.ID) (*queue.Entry, []queue.Attempt, error) {
	e, err := l.Store.Get(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		e, err = l.Store.Retired(ctx, id)
	}
	if err != nil {
		return nil, nil, err
	}
	history, err := l.Store.History(ctx, id)
	return e, history, err
}

// Cat implements Queue.
func (l *Local) Cat(ctx context.Context, id queue.ID, w io.Writer) error {
	body, err := l.Store.Body(ctx, id)
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}
