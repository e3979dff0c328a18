package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"postrider/internal/control"
	"postrider/internal/sysexits"
	"postrider/queue"
)

// The pause between two looks at what was flushed; it doubles.
const (
	firstLook = 50 * time.Millisecond
	lastLook  = time.Second
)

// waiter tells what becomes of messages that are tried.
type waiter struct {
	out       io.Writer
	suspended []string // destinations that are not tried
	// open has for each message, by recipient, the attempts before; told for each
	// recipient that an outcome was printed, or that there will be none.
	open   map[queue.ID]map[string]int
	told   map[queue.ID]map[string]bool
	failed int
	// deferred counts recipients that wait again.
	deferred int
}

// begin notes how things stand before the flush.
func (w *waiter) begin(ctx context.Context, q control.Queue, f queue.Filter) error {
	w.open = make(map[queue.ID]map[string]int)
	w.told = make(map[queue.ID]map[string]bool)
	return eachItem(ctx, q, f, func(item *control.Item) {
		before, told := make(map[string]int), make(map[string]bool)
		for _, r := range item.Recipients {
			before[recipientKey(&r)] = r.Attempts
			if hasEnded(r.State) {
				told[recipientKey(&r)] = true
			}
		}
		w.open[item.ID], w.told[item.ID] = before, told
	})
}

// wait looks until everything has been tried.
func (w *waiter) wait(ctx context.Context, q control.Queue) error {
	for pause := firstLook; ; pause = min(2*pause, lastLook) {
		more, err := w.look(ctx, q)
		if err == nil && !more {
			return w.verdict()
		}
		if err == nil {
			select {
			case <-time.After(pause):
				continue
			case <-ctx.Done():
			}
		}
		if ctx.Err() != nil {
			return exit(sysexits.TempFail, "interrupted: deliveries go on")
		}
		return err
	}
}

func (w *waiter) verdict() error {
	switch {
	case w.failed > 0:
		return exit(sysexits.Unavailable, "%s failed", control.Plural(w.failed, "recipient"))
	case w.deferred > 0:
		return exit(sysexits.TempFail, "%s deferred", control.Plural(w.deferred, "recipient"))
	}
	return nil
}

// look prints the outcomes that are new, and tells whether there may be more.
func (w *waiter) look(ctx context.Context, q control.Queue) (more bool, err error) {
	ids := slices.Sorted(maps.Keys(w.open))
	for part := range slices.Chunk(ids, batch) {
		seen := make(map[queue.ID]bool, len(part))
		err := eachItem(ctx, q, queue.Filter{IDs: part}, func(item *control.Item) {
			seen[item.ID] = true
			w.item(item)
		})
		if err != nil {
			return false, err
		}
		for _, id := range part {
			if !seen[id] {
				if err := w.over(ctx, q, id); err != nil {
					return false, err
				}
			}
		}
	}
	return len(w.open) > 0, nil
}

// over is for a message that is no longer in the queue.
func (w *waiter) over(ctx context.Context, q control.Queue, id queue.ID) error {
	d, err := q.Show(ctx, id)
	switch {
	case err == nil:
		w.item(&d.Item)
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	delete(w.open, id)
	return nil
}

func (w *waiter) item(item *control.Item) {
	waits := false
	for i := range item.Recipients {
		r := &item.Recipients[i]
		key := recipientKey(r)
		if w.told[item.ID][key] {
			continue
		}
		switch {
		case hasEnded(r.State):
			if r.State == "failed" {
				w.failed++
			}
		case r.State == "deferred" && r.Attempts > w.open[item.ID][key]:
			w.deferred++
		case r.State != "active" && (r.State == "held" || slices.Contains(w.suspended, r.Destination)):
			w.told[item.ID][key] = true
			continue
		default:
			waits = true
			continue
		}
		w.told[item.ID][key] = true
		fmt.Fprintf(w.out, "%s  <%s>: %s %s\n", item.ID, control.Printable(r.Address), r.State, control.Printable(r.LastReply))
	}
	if !waits {
		delete(w.open, item.ID)
	}
}

// hasEnded tells the states of recipients that nothing more is tried for.
func hasEnded(state string) bool {
	_, open := queue.ParseState(state)
	return !open
}

// recipientKey tells recipients of a message apart.
func recipientKey(r *control.ItemRecipient) string {
	key := r.Address
	if r.Target != nil {
		key += "\x00" + r.Target.Kind + "\x00" + r.Target.Value
	}
	return key
}

func eachItem(ctx context.Context, q control.Queue, f queue.Filter, fn func(*control.Item)) error {
	var b bytes.Buffer
	if err := q.List(ctx, f, control.FormatJSON, &b); err != nil {
		return err
	}
	for dec := json.NewDecoder(&b); ; {
		item := new(control.Item)
		switch err := dec.Decode(item); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the queue's listing: %w", err)
		}
		fn(item)
	}
}
