package control

import (
	"bufio"
	"context"
	"errors"
	"io"
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
	// Flush has the messages that match tried now.
	Flush(ctx context.Context, f queue.Filter) (Count, error)
	// Delete ends the messages that match with nobody told.
	Delete(ctx context.Context, f queue.Filter) (Count, error)
}

// Count says how many messages an operation touched.
type Count struct {
	Messages int `json:"messages"`
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
	p, err := newPrinter(format, out, time.Now())
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

// Flush implements Queue. Suspensions of the destinations concerned are lifted:
// who flushes wants to see whether it works now.
func (l *Local) Flush(ctx context.Context, f queue.Filter) (n Count, err error) {
	destinations := map[string]bool{}
	err = l.each(ctx, f, func(entries []queue.Entry) error {
		ids := make([]queue.ID, 0, len(entries))
		for _, e := range entries {
			ids = append(ids, e.Message.ID)
			for _, d := range e.Deliveries {
				destinations[d.Destination] = true
			}
		}
		flushed, err := l.Store.Flush(ctx, time.Now(), ids...)
		n.Messages += flushed
		return err
	})
	if err != nil {
		return n, err
	}
	names := make([]string, 0, len(destinations))
	for name := range destinations {
		if err := l.Store.Suspend(ctx, name, time.Time{}, "", 0); err != nil {
			return n, err
		}
		names = append(names, name)
	}
	if l.Kick != nil {
		l.Kick(names...)
	}
	return n, nil
}

// Delete implements Queue.
func (l *Local) Delete(ctx context.Context, f queue.Filter) (n Count, err error) {
	err = l.each(ctx, f, func(entries []queue.Entry) error {
		ids := make([]queue.ID, 0, len(entries))
		for _, e := range entries {
			ids = append(ids, e.Message.ID)
		}
		deleted, err := l.Store.Delete(ctx, time.Now(), "deleted by command", ids...)
		n.Messages += deleted
		return err
	})
	return n, err
}
