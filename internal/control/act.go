package control

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"

	"postrider/queue"
)

// Verb is what can be done to messages.
type Verb string

// The verbs.
const (
	Hold    Verb = "hold"    // keep from being delivered
	Release Verb = "release" // end a hold
	Bounce  Verb = "bounce"  // return to sender
	Delete  Verb = "delete"  // end with nobody told
)

// Order is something to be done.
type Order struct {
	Verb Verb `json:"verb"`
	// IDs of the messages concerned; without any, nothing is done.
	IDs []queue.ID `json:"ids"`
	// Filter says which of them; its own IDs are ignored.
	Filter queue.Filter `json:"filter"`
	// Text is the reason of a hold, or what the sender of a bounce is told.
	Text string `json:"text,omitempty"`
}

// maxText bounds Order.Text: it gets into listings and reports.
const maxText = 500

// BounceText is what the sender is told where Order.Text is empty.
const BounceText = "returned to sender by the administrator of the mail system"

// CheckText refuses texts that do not fit on one line.
func CheckText(text string) error {
	if len(text) > maxText || strings.ContainsFunc(text, unicode.IsControl) {
		return fmt.Errorf("the text must be one line of at most %d bytes, without control characters", maxText)
	}
	return nil
}

func (o *Order) check() error {
	switch o.Verb {
	case Hold, Release, Bounce, Delete:
		return CheckText(o.Text)
	}
	return fmt.Errorf("unknown verb %q", o.Verb)
}

// Act implements Queue. It goes on in steps, and stops between two of them when ctx
// ends.
func (l *Local) Act(ctx context.Context, o Order) (n Count, err error) {
	if err := o.check(); err != nil || len(o.IDs) == 0 {
		return n, err
	}
	f := o.Filter
	f.IDs = o.IDs
	err = l.each(ctx, f, func(entries []queue.Entry) error {
		if len(entries) == 0 {
			return nil
		}
		return l.actOn(ctx, &o, entries, &n)
	})
	return n, err
}

func (l *Local) actOn(ctx context.Context, o *Order, entries []queue.Entry, n *Count) (err error) {
	ids := make([]queue.ID, 0, len(entries))
	for i := range entries {
		ids = append(ids, entries[i].Message.ID)
	}
	done := 0
	switch o.Verb {
	case Hold:
		done, err = l.Store.Hold(ctx, o.Text, ids...)
	case Release:
		if done, err = l.Store.Unhold(ctx, ids...); err == nil {
			l.kick(destinationsOf(entries))
		}
	case Delete:
		done, err = l.Store.Delete(ctx, time.Now(), "deleted by command", ids...)
	case Bounce:
		return l.bounce(ctx, o.Text, entries, n)
	}
	n.Messages += done
	return err
}

// kick tells of destinations, if there are any.
func (l *Local) kick(destinations []string) {
	if l.Kick != nil && len(destinations) > 0 {
		l.Kick(destinations...)
	}
}

func destinationsOf(entries []queue.Entry) []string {
	seen := map[string]bool{}
	var names []string
	for i := range entries {
		for _, d := range entries[i].Deliveries {
			if d.State != queue.Done && !seen[d.Destination] {
				seen[d.Destination] = true
				names = append(names, d.Destination)
			}
		}
	}
	return names
}

// bouncers is how many messages are returned at the same time: they share commits.
const bouncers = 64

func (l *Local) bounce(ctx context.Context, text string, entries []queue.Entry, n *Count) error {
	if text == "" {
		text = BounceText
	}
	work := make(chan *queue.Entry)
	var mu sync.Mutex
	var failed error
	var group sync.WaitGroup
	for range min(bouncers, len(entries)) {
		group.Go(func() {
			for e := range work {
				ended, err := l.bounceOne(ctx, text, e)
				mu.Lock()
				switch {
				case err != nil:
					failed = errors.Join(failed, err)
				case ended:
					n.Messages++
				}
				if err == nil && isBusy(e) {
					n.Busy++
				}
				mu.Unlock()
			}
		})
	}
	for i := range entries {
		if ctx.Err() != nil {
			break
		}
		work <- &entries[i]
	}
	close(work)
	group.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}

// bounceOne returns a message to its sender, but for those recipients that it is
// being delivered to: what comes of these is not known.
func (l *Local) bounceOne(ctx context.Context, text string, e *queue.Entry) (ended bool, err error) {
	var outcomes []queue.Outcome
	for _, d := range e.Deliveries {
		if d.State == queue.Active {
			continue
		}
		for _, r := range d.Recipients {
			if !r.Result.Ended() {
				outcomes = append(outcomes, queue.Outcome{
					Index: r.Index, Result: queue.Failed, Status: "5.0.0", Reply: text, Owed: owesFailure(e.Message, r.Index),
				})
			}
		}
	}
	if len(outcomes) == 0 {
		return false, nil
	}
	err = l.Store.Conclude(ctx, e.Message.ID, time.Now(), "returned by command", outcomes)
	if errors.Is(err, queue.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// owesFailure reports whether the sender is to be told of a failure (RFC 3461 §4.1).
func owesFailure(m *queue.Message, index int) bool {
	switch m.Kind {
	case queue.PostmasterCopy:
		return false
	case queue.Report:
		return true
	}
	return m.Recipients[index].Notify.OnFailure()
}

func isBusy(e *queue.Entry) bool {
	for _, d := range e.Deliveries {
		if d.State == queue.Active {
			return true
		}
	}
	return false
}
