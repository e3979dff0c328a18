package schedule

import (
	"context"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// LocalSite is the site, and the destination, of mail delivered on this host. It
// is limited by Options.MaxLocal alone, not by the limits on connections.
const LocalSite = "local:"

// Agent attempts deliveries. Its methods are called concurrently.
type Agent interface {
	// Site names the set of hosts that take a destination's mail, so that
	// destinations behind the same hosts share limits. It may take as long as a
	// DNS lookup and never fails: in trouble the destination itself is the site.
	// It is not asked about LocalSite.
	Site(ctx context.Context, destination string) string
	// Deliver attempts one delivery. It takes every recipient that has not ended to
	// an outcome. When ctx ends it returns soon, with Uncounted set if nothing was
	// tried; see InTransfer for the part that must not be cut short.
	Deliver(ctx context.Context, w *queue.Work) Verdict
}

// Verdict is what an attempt tells the scheduler.
type Verdict struct {
	// Attempt with its Outcomes; recipients without one stay as they were. Owed is
	// set by the scheduler. Started, Took and Destination are filled in if zero.
	Attempt queue.Attempt
	// Move gives recipients (by index) whose destination has changed the new one.
	Move map[int]string
	// Added are recipients that take the place of those with an Expanded outcome.
	// Owed of their outcomes is set by the scheduler.
	Added []queue.Added
	// Uncounted says that nothing was really tried: shutdown, or all moved.
	Uncounted bool
	// Health is what the attempt says about the site.
	Health Health
	// Reason in words, for a suspension.
	Reason string
	// RetryAfter, if positive, keeps the whole destination from being tried for so
	// long.
	RetryAfter time.Duration
}

// Health is what an attempt says about the hosts of a site.
type Health uint8

// The kinds of health.
const (
	// Neutral says nothing: the trouble was elsewhere, or no host was asked.
	Neutral Health = iota
	// Good says that a host took the transaction to its end, whatever it said to
	// the recipients.
	Good
	// Unreachable says that connecting, the handshake or the banner failed, or that
	// the host closed with 421.
	Unreachable
)

// Reporter deals with messages that owe their sender a report.
type Reporter interface {
	// Report composes what is due for the message (failures, successes, delay) and
	// settles it in the store. It is called again a minute after an error.
	Report(ctx context.Context, id queue.ID) error
}

// sender writes a reverse-path as log lines show it.
func sender(a address.Address) string {
	if a.IsNull() {
		return "<>"
	}
	return a.String()
}
