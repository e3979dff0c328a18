package schedule

import (
	"context"
	"time"
)

// Paces of forgetting.
const (
	forgetEvery = time.Hour
	forgetStep  = 500
	forgetPause = 50 * time.Millisecond // lets others write between two steps
)

// forget removes what is remembered of messages that ended long ago, in small
// steps, until ctx ends.
func (s *Scheduler) forget(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-timer.C:
			n, err := s.store.Forget(ctx, now.Add(-s.opt.KeepHistory), forgetStep)
			if isFatal(err) {
				s.fail(err)
			} else if err != nil && ctx.Err() == nil {
				s.log.Error("old history not removed: will try again", "error", err)
			}
			timer.Reset(forgetEvery)
			if n >= forgetStep {
				timer.Reset(forgetPause)
			}
		}
	}
}
