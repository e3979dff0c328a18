package schedule

import (
	"context"
	"time"

	"postrider/queue"
)

// Kick lifts suspensions and has the destinations looked at again, for an
// administrator who has flushed or released mail; all destinations if none is
// named. A site that was suspended is probed at once. Limits stay as they are, and
// so does what an administrator suspended.
func (s *Scheduler) Kick(destinations ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.began.IsZero() || s.draining {
		return
	}
	now := time.Now()
	if len(destinations) == 0 {
		for _, d := range s.destinations {
			s.kick(d, now)
		}
		s.work.Go(s.resumeAll)
	} else {
		for _, name := range destinations {
			if d := s.destinations[name]; d != nil {
				s.kick(d, now)
			}
		}
		s.work.Go(func() { each(destinations, writers, s.resume) })
	}
	s.signal()
}

// kick forgets why d was not to be tried.
func (s *Scheduler) kick(d *destination, now time.Time) {
	d.pause, d.exhausted, d.claimed = time.Time{}, false, time.Time{}
	if st := d.site; st != nil && st.suspended(now) {
		st.until = time.Time{}
		s.reconsider(st, now)
		s.mark(st, st.names(), suspensionMark{failures: st.failures})
	}
	s.consider(d, now)
}

// resumeAll ends all suspensions in the store.
func (s *Scheduler) resumeAll() {
	const step = 1000
	var after string
	for {
		sums, err := s.store.Destinations(context.Background(), after, step)
		if err != nil {
			s.log.Error("suspensions not ended", "error", err)
			return
		}
		var suspended []queue.Destination
		for _, sum := range sums {
			if !sum.Suspended.IsZero() {
				suspended = append(suspended, sum)
			}
		}
		each(suspended, writers, func(sum queue.Destination) {
			s.write(sum.Name, suspensionMark{failures: sum.Failures})
		})
		if len(sums) < step {
			return
		}
		after = sums[len(sums)-1].Name
	}
}

// resume ends the suspension of one destination in the store, if it has one.
func (s *Scheduler) resume(name string) {
	sum, err := s.summary(context.Background(), name)
	if err != nil {
		s.log.Error("suspension not ended", "destination", name, "error", err)
		return
	}
	if !sum.Suspended.IsZero() {
		s.write(name, suspensionMark{failures: sum.Failures})
	}
}

// summary reads the summary of one destination; the zero summary if it has no
// mail.
func (s *Scheduler) summary(ctx context.Context, name string) (queue.Destination, error) {
	if name == "" {
		return queue.Destination{}, nil
	}
	sums, err := s.store.Destinations(ctx, before(name), 1)
	if err != nil || len(sums) == 0 || sums[0].Name != name {
		return queue.Destination{}, err
	}
	return sums[0], nil
}

// before gives a string that sorts before name and after every other name that
// does: 0xFF occurs in no UTF-8 text.
func before(name string) string {
	last := len(name) - 1
	if name[last] == 0 {
		return name[:last]
	}
	return name[:last] + string([]byte{name[last] - 1, 0xFF})
}
