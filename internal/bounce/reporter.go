package bounce

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// Options of New. Store, Hostname and Destination must be set.
type Options struct {
	Store queue.Store
	// Hostname is this host's name in the reports, Origin the domain of
	// MAILER-DAEMON and of senders without one; by default Hostname.
	Hostname string
	Origin   string
	// Postmaster gets what cannot be delivered of our own reports; null for nobody.
	Postmaster address.Address
	// Destination gives the scheduling key of a recipient, as for any other mail.
	Destination func(from, to address.Address) string
	// BounceLifetime is how long a report is tried, 1 day by default; Lifetime how
	// long the postmaster's copies are, 5 days by default.
	BounceLifetime time.Duration
	Lifetime       time.Duration
	// MaxReturn is the size in bytes up to which a message is returned whole;
	// 50,000 by default.
	MaxReturn int64
	// Now is the clock; time.Now by default.
	Now func() time.Time
	// Logger is told of every report, and of all that nobody else will be told.
	Logger *slog.Logger
}

// Reporter makes reports. It is safe for concurrent use.
type Reporter struct {
	store queue.Store
	o     Options
	log   *slog.Logger

	mu      sync.Mutex
	busy    map[queue.ID]chan struct{}     // closed when the call for the ID returns
	noticed map[queue.ID][]address.Address // told of a delay, before all others are
}

// New makes a Reporter.
func New(o Options) *Reporter {
	o.Origin = cmp.Or(o.Origin, o.Hostname)
	o.BounceLifetime = cmp.Or(o.BounceLifetime, 24*time.Hour)
	o.Lifetime = cmp.Or(o.Lifetime, 5*24*time.Hour)
	o.MaxReturn = cmp.Or(o.MaxReturn, 50_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Reporter{store: o.Store, o: o, log: o.Logger, busy: make(map[queue.ID]chan struct{}), noticed: make(map[queue.ID][]address.Address)}
}

// Report deals with all that is due for the message. Called again, it does
// nothing: what it did is noted in the queue in the same step. A message that is
// not in the queue owes nothing. After an error the call may be repeated.
func (b *Reporter) Report(ctx context.Context, id queue.ID) error {
	done, err := b.enter(ctx, id)
	if err != nil {
		return err
	}
	defer done()
	e, err := b.store.Get(ctx, id)
	if errors.Is(err, queue.ErrNotFound) {
		b.forget(id)
		return nil
	}
	if err != nil {
		return fmt.Errorf("report on %s: %w", id, err)
	}
	// A message that was deleted meanwhile needs no report any more.
	if err := b.deal(ctx, b.gather(e)); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return fmt.Errorf("report on %s: %w", id, err)
	}
	return nil
}

// enter waits until no other call deals with the message.
func (b *Reporter) enter(ctx context.Context, id queue.ID) (done func(), err error) {
	for {
		b.mu.Lock()
		other := b.busy[id]
		if other == nil {
			ours := make(chan struct{})
			b.busy[id] = ours
			b.mu.Unlock()
			return func() { b.leave(id, ours) }, nil
		}
		b.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *Reporter) leave(id queue.ID, ours chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.busy, id)
	close(ours)
}

// deal sends what is due to whom it is due. Each step is one commit.
func (b *Reporter) deal(ctx context.Context, d *due) error {
	m := d.entry.Message
	switch {
	case m.Kind == queue.Report && b.wantsCopy(d):
		return b.copyToPostmaster(ctx, d)
	case m.Kind != queue.Ordinary, m.Envelope.ReversePath.IsNull():
		return b.drop(ctx, d)
	}
	if len(d.unwanted) > 0 {
		if err := b.settle(ctx, d, queue.Settlement{Recipients: indexes(d.unwanted)}); err != nil {
			return err
		}
	}
	parties := d.parties()
	for _, p := range parties {
		if err := b.tell(ctx, d, p); err != nil {
			return err
		}
	}
	return b.delay(ctx, d, parties)
}

// tell reports to one party what has ended.
func (b *Reporter) tell(ctx context.Context, d *due, p *party) error {
	if p.to.IsNull() {
		return b.dropSome(ctx, d, p.failed, queue.Settlement{Recipients: indexes(p.failed, p.passed)})
	}
	if len(p.failed) > 0 {
		if err := b.send(ctx, d, b.failure(d, p)); err != nil {
			return err
		}
	}
	if len(p.passed) > 0 {
		return b.send(ctx, d, b.success(p))
	}
	return nil
}

// wantsCopy tells whether a report that failed is the postmaster's to see. One
// that failed to reach the postmaster is not.
func (b *Reporter) wantsCopy(d *due) bool {
	pm := b.o.Postmaster
	if len(d.failed) == 0 || pm.IsNull() {
		return false
	}
	for _, s := range d.failed {
		if isPostmaster(s.recipient.Address, pm) || slices.ContainsFunc(s.recipient.Via, func(a address.Address) bool { return isPostmaster(a, pm) }) {
			return false
		}
	}
	return true
}

// drop notes that nobody is told of the message, and puts it into the log instead.
func (b *Reporter) drop(ctx context.Context, d *due) error {
	return b.dropSome(ctx, d, d.failed, queue.Settlement{Recipients: indexes(d.failed, d.passed, d.unwanted), Notified: d.delayed})
}

// dropSome settles without a report.
func (b *Reporter) dropSome(ctx context.Context, d *due, failed []standing, s queue.Settlement) error {
	level := slog.LevelWarn
	if d.entry.Message.Kind != queue.Ordinary {
		level = slog.LevelError
	}
	for _, f := range failed {
		b.log.Log(ctx, level, "undeliverable mail dropped, nobody is told", "id", d.entry.Message.ID,
			"rcpt", f.recipient.Address.String(), "status", f.state.Status, "code", f.state.Code, "host", f.state.Remote, "reply", f.state.Reply,
			"message_id", d.entry.Message.MessageID, "reports", d.entry.Message.Reports)
	}
	if len(s.Recipients) == 0 && !s.Notified {
		return nil
	}
	if len(failed) > 0 {
		s.Note = "dropped: there is nobody to report to"
	}
	return b.settle(ctx, d, s)
}

// settle notes something without a report.
func (b *Reporter) settle(ctx context.Context, d *due, s queue.Settlement) error {
	s.Message, s.Now = d.entry.Message.ID, d.now
	if _, err := b.store.Settle(ctx, s, nil, nil); err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	return nil
}
