package control

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"postrider/queue"
)

// Stats is what waits, as queue stats --json prints it. Its names are stable.
type Stats struct {
	Messages   int   `json:"messages"`
	Deliveries int   `json:"deliveries"`
	Bytes      int64 `json:"bytes"`
	// Ages name the columns of DestinationStats.Ages: up to so many minutes, and
	// the last one for what is older.
	Ages         []string           `json:"ages"`
	Destinations []DestinationStats `json:"destinations"`
	Senders      []SenderStats      `json:"senders"`
	Reasons      []ReasonStats      `json:"reasons"`
	// Tried deliveries wait for another attempt; Sampled of them were read for Reasons.
	Tried   int `json:"tried"`
	Sampled int `json:"sampled"`
}

// DestinationStats counts the deliveries of a destination.
type DestinationStats struct {
	Destination string `json:"destination"`
	Total       int    `json:"total"`
	Held        int    `json:"held"`
	// Ages counts those that are not held.
	Ages []int `json:"ages"`
	// Suspended is until when nothing is tried, and Reason why.
	Suspended *time.Time `json:"suspended,omitempty"`
	ByHand    bool       `json:"by_hand,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

// SenderStats counts messages.
type SenderStats struct {
	Sender   string `json:"sender"`
	Messages int    `json:"messages"`
}

// ReasonStats counts deliveries by what was last said about them.
type ReasonStats struct {
	Reason     string `json:"reason"`
	Deliveries int    `json:"deliveries"`
}

const (
	firstAge = 5 * time.Minute
	ages     = 9 // each twice the one before
	topStats = 10
)

// Stats implements Queue.
func (l *Local) Stats(ctx context.Context) (*Stats, error) {
	now := time.Now()
	var since []time.Time
	out := &Stats{}
	for i := range ages {
		span := firstAge << i
		since = append(since, now.Add(-span))
		out.Ages = append(out.Ages, fmt.Sprintf("%dm", int(span.Minutes())))
	}
	out.Ages = append(out.Ages, out.Ages[ages-1]+"+")
	st, err := l.Store.Stats(ctx)
	if err != nil {
		return nil, err
	}
	out.Messages, out.Deliveries, out.Bytes = st.Messages, st.Deliveries, st.Bytes
	survey, err := l.Store.Survey(ctx, since, topStats)
	if err != nil {
		return nil, err
	}
	out.Tried, out.Sampled = survey.Tried, survey.Sampled
	out.Destinations = make([]DestinationStats, 0, len(survey.Destinations))
	for _, d := range survey.Destinations {
		out.Destinations = append(out.Destinations, newDestinationStats(d, now))
	}
	slices.SortStableFunc(out.Destinations, func(a, b DestinationStats) int { return cmp.Compare(b.Total, a.Total) })
	for _, t := range survey.Senders {
		out.Senders = append(out.Senders, SenderStats{t.Value, t.Count})
	}
	for _, t := range survey.Reasons {
		out.Reasons = append(out.Reasons, ReasonStats{t.Value, t.Count})
	}
	return out, nil
}

func newDestinationStats(d queue.SurveyDestination, now time.Time) DestinationStats {
	out := DestinationStats{Destination: d.Name, Total: d.Count, Held: d.Held, Ages: d.Ages}
	if d.Suspended.After(now) {
		out.Suspended, out.ByHand, out.Reason = &d.Suspended, d.ByHand(now), d.Reason
	}
	return out
}

// shownDestinations is how many destinations people are shown.
const shownDestinations = 30

// WriteStats prints statistics for people.
func WriteStats(w io.Writer, s *Stats) error {
	var b bytes.Buffer
	if s.Deliveries == 0 {
		_, err := io.WriteString(w, "The queue is empty.\n")
		return err
	}
	fmt.Fprintf(&b, "%s, %s, %s\n\n", Plural(s.Messages, "message"), count(s.Deliveries, "delivery", "deliveries"), shortSize(s.Bytes))
	total := DestinationStats{Destination: "TOTAL", Ages: make([]int, len(s.Ages))}
	for _, d := range s.Destinations {
		total.Total += d.Total
		total.Held += d.Held
		for i, n := range d.Ages {
			total.Ages[i] += n
		}
	}
	fmt.Fprintf(&b, "%-24s %6s %5s", "DESTINATION", "TOTAL", "HELD")
	for _, name := range s.Ages {
		fmt.Fprintf(&b, " %5s", name)
	}
	b.WriteByte('\n')
	writeAges(&b, total)
	for i, d := range s.Destinations {
		if i == shownDestinations {
			fmt.Fprintf(&b, "and %s; --json shows all\n", Plural(len(s.Destinations)-i, "other destination"))
			break
		}
		writeAges(&b, d)
	}
	writeSuspended(&b, s.Destinations)
	writeTallies(&b, s)
	_, err := w.Write(b.Bytes())
	return err
}

func writeAges(b *bytes.Buffer, d DestinationStats) {
	name := Printable(d.Destination)
	if len([]rune(name)) > 24 {
		fmt.Fprintf(b, "%s\n", name)
		name = ""
	}
	fmt.Fprintf(b, "%-24s %6d %5s", name, d.Total, orDash(d.Held))
	for _, n := range d.Ages {
		fmt.Fprintf(b, " %5s", orDash(n))
	}
	b.WriteByte('\n')
}

func orDash(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

func writeSuspended(b *bytes.Buffer, all []DestinationStats) {
	first := true
	for _, d := range all {
		if d.Suspended == nil {
			continue
		}
		if first {
			b.WriteString("\nSuspended:\n")
			first = false
		}
		fmt.Fprintf(b, "  %s ", Printable(d.Destination))
		if d.Suspended.Before(Forever()) {
			fmt.Fprintf(b, "until %s", local(*d.Suspended))
		} else {
			b.WriteString("until resumed")
		}
		if d.ByHand {
			b.WriteString(", by an administrator")
		}
		if d.Reason != "" {
			fmt.Fprintf(b, ": %s", Printable(d.Reason))
		}
		b.WriteByte('\n')
	}
}

func writeTallies(b *bytes.Buffer, s *Stats) {
	if len(s.Senders) > 0 {
		b.WriteString("\nMessages by sender:\n")
	}
	for _, t := range s.Senders {
		fmt.Fprintf(b, "%7d  <%s>\n", t.Messages, Printable(t.Sender))
	}
	if len(s.Reasons) == 0 {
		return
	}
	b.WriteString("\nDeferred deliveries by last reply")
	if s.Sampled < s.Tried {
		fmt.Fprintf(b, " (among %d of %d)", s.Sampled, s.Tried)
	}
	b.WriteString(":\n")
	for _, t := range s.Reasons {
		fmt.Fprintf(b, "%7d  %s\n", t.Deliveries, clip(Printable(t.Reason), 150))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
