package schedule

import (
	"context"
	"errors"
	"time"

	"postrider/queue"
)

// run takes one attempt from the lease to the record.
func (s *Scheduler) run(a *attempt) {
	defer a.cancel()
	w, err := s.store.Load(a.ctx, a.lease)
	if err == nil {
		err = a.ctx.Err()
	}
	if err != nil {
		s.notLoaded(a, err)
		s.finish(a)
		return
	}
	v := s.agent.Deliver(a.ctx, w)
	ended := time.Now()
	v.Attempt = complete(v.Attempt, a, w, ended)
	s.judge(a, v)
	s.pause(a, w.Delivery.Destination, v)
	if v.Health == Good {
		s.passOn(a)
	}
	rec := s.outcomes(w, v, ended, a.isStopped())
	s.report(w, v, rec)
	s.record(a, w, rec)
	s.finish(a)
}

// complete fills in what the agent left out.
func complete(at queue.Attempt, a *attempt, w *queue.Work, ended time.Time) queue.Attempt {
	if at.Started.IsZero() {
		at.Started = a.started
	}
	if at.Took == 0 {
		at.Took = ended.Sub(at.Started)
	}
	if at.Destination == "" {
		at.Destination = w.Delivery.Destination
	}
	return at
}

// notLoaded deals with a delivery that could not be read. It is put off, so that
// it is not claimed again at once; if that fails too the lease runs out.
func (s *Scheduler) notLoaded(a *attempt, err error) {
	s.mu.Lock()
	retry, destination := s.limits.Retry, a.dest.Name
	s.mu.Unlock()
	ctx := context.WithoutCancel(a.ctx)
	id := a.lease.Key.Message
	switch {
	case errors.Is(err, queue.ErrLeaseLost), errors.Is(err, queue.ErrNotFound):
		s.log.Debug("delivery is no longer ours", "id", id)
		return
	case a.isStopped():
		s.release(ctx, []queue.Lease{a.lease})
		return
	case isFatal(err):
		s.fail(err)
		return
	}
	s.log.Error("delivery not loaded: will try again", "id", id, "error", err)
	now := time.Now()
	note := queue.Attempt{Started: a.started, Took: now.Sub(a.started), Destination: destination, Note: "not loaded: " + err.Error()}
	put := queue.Record{Now: now, Attempt: note, Uncounted: true, Next: Next(retry, 1, now, s.opt.Random)}
	if err := s.store.Record(ctx, a.lease, put); err != nil {
		s.log.Error("delivery not put off: its lease will run out", "id", id, "error", err)
	}
}

// Pauses between tries to record an outcome.
const (
	recordPause    = time.Second
	recordPauseMax = 30 * time.Second
)

// record makes the outcomes durable. It does not give up before the storage has
// failed, or a drain is out of time: what is forgotten is sent twice.
func (s *Scheduler) record(a *attempt, w *queue.Work, rec queue.Record) {
	ctx := context.WithoutCancel(a.ctx)
	for pause := recordPause; ; pause = min(2*pause, recordPauseMax) {
		err := s.store.Record(ctx, a.lease, rec)
		if err == nil {
			if anyOwed(rec) {
				s.news.put(w.Message.ID)
				notify(s.agenda)
			}
			return
		}
		log := s.log.With("id", w.Message.ID, "destination", w.Delivery.Destination)
		switch {
		case errors.Is(err, queue.ErrLeaseLost), errors.Is(err, queue.ErrNotFound):
			log.Info("outcome not recorded: the delivery was deleted, held or leased to another meanwhile")
			return
		case errors.Is(err, queue.ErrTooMany) && len(rec.Added)+len(rec.Move) > 0:
			log.Error("recipients not added: will try again later", "error", err)
			rec = withoutAdded(rec)
			continue
		case isFatal(err):
			log.Error("outcome not recorded: what was sent may be sent again", "error", err)
			s.fail(err)
			return
		}
		log.Error("outcome not recorded: will try again", "error", err, "pause", pause)
		if !s.wait(pause) {
			log.Error("outcome not recorded: what was sent may be sent again", "error", err)
			return
		}
	}
}

// wait pauses; it reports false at once when there is no more time.
func (s *Scheduler) wait(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.hurry:
		return false
	}
}

// passOn lets the site have its next attempt while this one's outcomes are being
// recorded. The connection slot stays taken until they are: what may be delivered
// again after a crash is no more than MaxConnections deliveries. The rest, sites in
// trouble and local delivery, goes on when all is recorded.
func (s *Scheduler) passOn(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a.site.local {
		return
	}
	a.passed = true
	a.site.active--
	a.site.recording++
	s.enlist(a.site, time.Now())
	s.signal()
}

// finish frees the attempt's slot. The destination is looked at by the loop, after
// it has taken in what the store said of the record.
func (s *Scheduler) finish(a *attempt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d, st := a.dest, a.site
	delete(s.attempts, a)
	d.active--
	d.leased--
	if a.passed {
		st.recording--
	} else {
		st.active--
	}
	if !st.local {
		s.active--
	}
	s.settled.push(a)
	s.enlist(st, time.Now())
	s.signal()
}

// settle looks at the destinations of attempts that have ended, and at the sites
// whose probe has ended.
func (s *Scheduler) settle(now time.Time) {
	for a, ok := s.settled.pop(); ok; a, ok = s.settled.pop() {
		s.consider(a.dest, now)
		s.nextProbe(a.site, now)
	}
}
