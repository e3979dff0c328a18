package schedule_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/queue"
	"postrider/queue/boltstore"
	"postrider/queue/schedule"
)

// agent is an Agent made of functions.
type agent struct {
	site    func(destination string) string
	deliver func(ctx context.Context, w *queue.Work) schedule.Verdict
}

func (a *agent) Site(_ context.Context, destination string) string {
	if a.site == nil {
		return destination
	}
	return a.site(destination)
}

func (a *agent) Deliver(ctx context.Context, w *queue.Work) schedule.Verdict {
	return a.deliver(ctx, w)
}

// outcome gives all open recipients the same outcome.
func outcome(w *queue.Work, o queue.Outcome) []queue.Outcome {
	var all []queue.Outcome
	for _, r := range w.Delivery.Recipients {
		if !r.Result.Ended() {
			o.Index = r.Index
			all = append(all, o)
		}
	}
	return all
}

func sent(w *queue.Work) schedule.Verdict {
	return schedule.Verdict{
		Health:  schedule.Good,
		Attempt: queue.Attempt{Outcomes: outcome(w, queue.Outcome{Result: queue.Relayed, Code: 250, Status: "2.0.0", Reply: "250 2.0.0 ok", Remote: "mx.example"})},
	}
}

func refused(w *queue.Work) schedule.Verdict {
	return schedule.Verdict{
		Health: schedule.Unreachable, Reason: "connection refused",
		Attempt: queue.Attempt{Outcomes: outcome(w, queue.Outcome{Result: queue.Temporary, Status: "4.4.1", Reply: "connection refused"})},
	}
}

func greylisted(w *queue.Work) schedule.Verdict {
	return schedule.Verdict{
		Health:  schedule.Good,
		Attempt: queue.Attempt{Outcomes: outcome(w, queue.Outcome{Result: queue.Temporary, Code: 450, Status: "4.2.0", Reply: "450 4.2.0 come back", Remote: "mx.example"})},
	}
}

// reporter counts reports and settles what is owed.
type reporter struct {
	store  queue.Store
	report func(queue.ID) error // first, if set
	mu     sync.Mutex
	ids    []queue.ID
}

func (r *reporter) Report(ctx context.Context, id queue.ID) error {
	r.mu.Lock()
	r.ids = append(r.ids, id)
	r.mu.Unlock()
	if r.report != nil {
		if err := r.report(id); err != nil {
			return err
		}
	}
	e, err := r.store.Get(ctx, id)
	if err != nil {
		return err
	}
	s := queue.Settlement{Message: id, Now: time.Now(), Notified: !e.Message.NoticeAt.IsZero() && !e.Message.NoticeAt.After(time.Now())}
	for _, d := range e.Deliveries {
		for _, rcpt := range d.Recipients {
			if rcpt.Owed {
				s.Recipients = append(s.Recipients, rcpt.Index)
			}
		}
	}
	_, err = r.store.Settle(ctx, s, nil, nil)
	return err
}

func (r *reporter) reports() []queue.ID {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]queue.ID(nil), r.ids...)
}

func openStore(t testing.TB) *boltstore.Store {
	t.Helper()
	return reopen(t, filepath.Join(t.TempDir(), "queue.db"))
}

func reopen(t testing.TB, path string) *boltstore.Store {
	t.Helper()
	store, err := boltstore.Open(path, boltstore.Options{Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// mail is one message to put into the store.
type mail struct {
	from   string // local part
	to     []string
	at     []string // destination of each recipient
	notify queue.Notify
	kind   queue.Kind
	life   time.Duration
	notice time.Duration
}

func submit(t testing.TB, store queue.Store, m mail) queue.ID {
	t.Helper()
	id, err := commit(store, m)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func commit(store queue.Store, m mail) (queue.ID, error) {
	ctx := context.Background()
	d, err := store.Create(ctx)
	if err != nil {
		return 0, err
	}
	if _, err := d.Write([]byte("Subject: x\n\nx\n")); err != nil {
		return 0, err
	}
	now := time.Now()
	msg := &queue.Message{Kind: m.kind, Arrival: now, Expires: now.Add(5 * 24 * time.Hour)}
	if m.from != "" {
		msg.Envelope.ReversePath = address.Address{Local: m.from, Domain: "sender.example"}
	}
	if m.life != 0 {
		msg.Expires = now.Add(m.life)
	}
	if m.notice != 0 {
		msg.NoticeAt = now.Add(m.notice)
	}
	if m.to == nil {
		m.to = make([]string, len(m.at))
		for i := range m.at {
			m.to[i] = fmt.Sprintf("rcpt%d", i)
		}
	}
	for i, to := range m.to {
		msg.Recipients = append(msg.Recipients, queue.Recipient{Address: address.Address{Local: to, Domain: m.at[i]}, Notify: m.notify})
	}
	return d.Commit(ctx, msg, m.at)
}

// simple is a message from one sender to one recipient.
func simple(from, destination string) mail { return mail{from: from, at: []string{destination}} }

// running is a scheduler under way.
type running struct {
	*schedule.Scheduler
	stop func() error // drains and waits
}

// run starts a scheduler; what Options leaves out is filled in.
func run(t testing.TB, o schedule.Options) running {
	t.Helper()
	if o.Reporter == nil {
		o.Reporter = &reporter{store: o.Store}
	}
	if o.Random == nil {
		o.Random = func() float64 { return 0.5 }
	}
	s := schedule.New(o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() { _ = stop() })
	return running{s, stop}
}

// entry reads a message, in the queue or retired.
func entry(t testing.TB, store queue.Store, id queue.ID) *queue.Entry {
	t.Helper()
	e, err := store.Get(context.Background(), id)
	if err != nil {
		if e, err = store.Retired(context.Background(), id); err != nil {
			t.Fatalf("entry of %s: %v", id, err)
		}
	}
	return e
}

// journal collects strings from many goroutines.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}
