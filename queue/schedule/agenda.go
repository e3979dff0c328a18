package schedule

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"postrider/queue"
)

// Paces of the agenda.
const (
	agendaBatch = 500
	agendaPause = 100 * time.Millisecond // from one pass to the next, at least
	agendaAhead = time.Hour              // how far it is looked ahead
	agendaRetry = time.Minute            // for what could not be dealt with
	heldRetry   = time.Hour              // for what an administrator holds
)

// agendaKeeper deals with messages of which something other than delivery is due.
type agendaKeeper struct {
	*Scheduler
	// visits are what was dealt with lately. What comes up again unchanged could
	// not be dealt with: it must not keep the rest waiting, nor be tried in a circle.
	visits map[queue.ID]visit
	stuck  int // visits that came up again
}

type visit struct {
	item  time.Time // AgendaItem.At
	until time.Time // not again before
	stuck bool
}

// news names messages of which a report has come to be owed. They may have been
// visited just before, and come up under the same time.
type news struct {
	mu  sync.Mutex
	ids map[queue.ID]struct{}
}

func (n *news) put(id queue.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ids == nil {
		n.ids = make(map[queue.ID]struct{})
	}
	n.ids[id] = struct{}{}
}

func (n *news) take() map[queue.ID]struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	ids := n.ids
	n.ids = nil
	return ids
}

// keepAgenda concludes what has expired and has reported what is owed, until ctx
// ends. It looks whenever the store has changed or the next item is due.
func (s *Scheduler) keepAgenda(ctx context.Context) {
	k := &agendaKeeper{Scheduler: s, visits: make(map[queue.ID]visit)}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		began := time.Now()
		next := k.pass(ctx)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
		case <-s.agenda:
		case <-timer.C:
		}
		timer.Stop()
		pause.Reset(time.Until(began.Add(agendaPause)))
	}
}

// pass deals with what is due and tells when there is more.
func (k *agendaKeeper) pass(ctx context.Context) time.Time {
	now := time.Now()
	for id := range k.news.take() {
		delete(k.visits, id)
	}
	k.expireVisits(now)
	items, err := k.store.Agenda(ctx, now.Add(agendaAhead), agendaBatch+k.stuck)
	if err != nil {
		if ctx.Err() == nil {
			k.log.Error("agenda not read: will try again", "error", err)
		}
		return now.Add(agendaRetry)
	}
	next := now.Add(agendaAhead)
	var due []queue.AgendaItem
	for _, item := range items {
		if at := k.dueAt(item); at.After(now) {
			next = earlier(next, at)
			continue
		}
		due = append(due, item)
		k.visits[item.ID] = visit{item: item.At, until: now.Add(agendaRetry)}
	}
	each(due, writers, func(item queue.AgendaItem) { k.attend(ctx, item.ID, now) })
	if len(due) > 0 {
		return now
	}
	return next
}

// dueAt is when an item is to be dealt with: not soon if it just was.
func (k *agendaKeeper) dueAt(item queue.AgendaItem) time.Time {
	v, ok := k.visits[item.ID]
	if !ok || !v.item.Equal(item.At) {
		return item.At
	}
	if !v.stuck {
		v.stuck = true
		k.visits[item.ID] = v
		k.stuck++
	}
	return v.until
}

func (k *agendaKeeper) expireVisits(now time.Time) {
	k.stuck = 0
	for id, v := range k.visits {
		switch {
		case !v.until.After(now):
			delete(k.visits, id)
		case v.stuck:
			k.stuck++
		}
	}
}

// attend deals with one message: concludes what has expired, then has reported
// what is owed.
func (k *agendaKeeper) attend(ctx context.Context, id queue.ID, now time.Time) {
	err := k.dealWith(ctx, id, now)
	switch {
	case err == nil, errors.Is(err, queue.ErrNotFound), ctx.Err() != nil:
		return
	case isFatal(err):
		k.fail(err)
		return
	}
	k.log.Error("report not made: will try again", "id", id, "error", err)
	k.postpone(ctx, id, now, agendaRetry)
}

// postpone brings a message up again later. If that cannot be noted, the visit
// does the same in memory.
func (k *agendaKeeper) postpone(ctx context.Context, id queue.ID, now time.Time, d time.Duration) {
	again := queue.Settlement{Message: id, Now: now, RetryAt: now.Add(d)}
	if _, err := k.store.Settle(ctx, again, nil, nil); err != nil && ctx.Err() == nil {
		k.log.Warn("agenda not changed", "id", id, "error", err)
	}
}

func (k *agendaKeeper) dealWith(ctx context.Context, id queue.ID, now time.Time) error {
	e, err := k.store.Get(ctx, id)
	if err != nil {
		return err
	}
	reportDue := owesReport(e) || noticeDue(e, now)
	if !e.Message.Expires.After(now) {
		outcomes, held, err := k.expired(ctx, e, now)
		if err != nil {
			return err
		}
		if len(outcomes) > 0 {
			if err := k.conclude(ctx, e, now, outcomes); err != nil {
				return err
			}
			reportDue = reportDue || slices.ContainsFunc(outcomes, isOwed)
		}
		if held && !reportDue {
			k.postpone(ctx, id, now, heldRetry)
		}
	}
	if !reportDue {
		return nil
	}
	return k.opt.Reporter.Report(ctx, id)
}
