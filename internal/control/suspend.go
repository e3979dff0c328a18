package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"postrider/queue"
)

// Suspension asks that mail for destinations waits, or, with a zero Until, that it
// is tried again.
type Suspension struct {
	Destinations []string `json:"destinations,omitempty"`
	// All stands for every destination that is suspended; only to resume.
	All    bool      `json:"all,omitempty"`
	Until  time.Time `json:"until,omitzero"`
	Reason string    `json:"reason,omitempty"`
}

// Suspended says what came of a Suspension.
type Suspended struct {
	// Done are the destinations that were suspended or resumed.
	Done []string `json:"done,omitempty"`
	// Unknown are those that no mail waits for.
	Unknown []string `json:"unknown,omitempty"`
}

// Forever is the Until of a suspension that only an administrator ends.
func Forever() time.Time { return time.Date(2200, time.January, 1, 0, 0, 0, 0, time.UTC) }

// Suspend implements Queue. A suspension holds as long as there is mail for the
// destination.
func (l *Local) Suspend(ctx context.Context, ask Suspension) (out Suspended, err error) {
	if err := CheckText(ask.Reason); err != nil {
		return out, err
	}
	known := make(map[string]bool)
	names := slices.Clone(ask.Destinations)
	err = l.eachDestination(ctx, func(d queue.Destination) {
		known[d.Name] = true
		if ask.All && ask.Until.IsZero() && d.Suspended.After(time.Now()) {
			names = append(names, d.Name)
		}
	})
	if err != nil {
		return out, err
	}
	slices.Sort(names)
	failures := 0
	if !ask.Until.IsZero() {
		failures = queue.ByHand
	}
	for _, name := range slices.Compact(names) {
		if !known[name] && known[strings.ToLower(name)] {
			name = strings.ToLower(name)
		}
		if !known[name] {
			out.Unknown = append(out.Unknown, name)
			continue
		}
		if err := l.Store.Suspend(ctx, name, ask.Until, ask.Reason, failures); err != nil {
			return out, err
		}
		out.Done = append(out.Done, name)
	}
	if ask.Until.IsZero() {
		l.kick(out.Done)
	}
	return out, nil
}

// eachDestination reads the summaries of all destinations with mail.
func (l *Local) eachDestination(ctx context.Context, fn func(queue.Destination)) error {
	after := ""
	for {
		sums, err := l.Store.Destinations(ctx, after, 2*window)
		if err != nil {
			return err
		}
		for _, d := range sums {
			fn(d)
		}
		if len(sums) < 2*window {
			return nil
		}
		after = sums[len(sums)-1].Name
	}
}

// Flush implements Queue. What the daemon suspended is tried too: who flushes wants
// to see whether it works now.
func (l *Local) Flush(ctx context.Context, f queue.Filter, force bool) (out Flushed, err error) {
	concerned := map[string]bool{}
	err = l.each(ctx, f, func(entries []queue.Entry) error {
		out.Matched += len(entries)
		ids := make([]queue.ID, 0, len(entries))
		for _, e := range entries {
			ids = append(ids, e.Message.ID)
		}
		for _, name := range destinationsOf(entries) {
			concerned[name] = true
		}
		n, err := l.Store.Flush(ctx, time.Now(), ids...)
		out.Messages += n
		return err
	})
	if err != nil {
		return out, err
	}
	var lift []string
	if err := l.eachDestination(ctx, func(d queue.Destination) {
		switch {
		case !concerned[d.Name]:
		case d.ByHand(time.Now()) && !force:
			out.Suspended = append(out.Suspended, d.Name)
		case !d.Suspended.IsZero():
			lift = append(lift, d.Name)
		}
	}); err != nil {
		return out, err
	}
	for _, name := range lift {
		if err := l.Store.Suspend(ctx, name, time.Time{}, "", 0); err != nil {
			return out, err
		}
	}
	names := make([]string, 0, len(concerned))
	for name := range concerned {
		names = append(names, name)
	}
	l.kick(names)
	return out, nil
}
