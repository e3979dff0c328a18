package schedule_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

// slowStore takes its time to record.
type slowStore struct {
	queue.Store
	recording, most atomic.Int64
}

func (s *slowStore) Record(ctx context.Context, l queue.Lease, r queue.Record) error {
	n := s.recording.Add(1)
	defer s.recording.Add(-1)
	if n > s.most.Load() {
		s.most.Store(n)
	}
	time.Sleep(time.Second)
	return s.Store.Record(ctx, l, r)
}

// TestRecordsKeepConnectionSlots: a site goes on while outcomes are recorded, but
// there are never more unrecorded ones than connections.
func TestRecordsKeepConnectionSlots(t *testing.T) {
	for _, test := range []struct {
		name     string
		verdict  func(*queue.Work) schedule.Verdict
		perSite  int
		unstored int64
	}{
		{"sent", sent, 2, 7}, // one connection in eight is kept for others
		{"unreachable", refused, 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := openStore(t)
				defer store.Close()
				slow := &slowStore{Store: store}
				var under, most atomic.Int64
				r := run(t, schedule.Options{Store: slow, Ramp: -1, MaxConnections: 8, MaxPerSite: test.perSite,
					Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
						most.Store(max(most.Load(), under.Add(1)))
						defer under.Add(-1)
						time.Sleep(10 * time.Millisecond)
						return test.verdict(w)
					}}})
				for range 40 {
					submit(t, store, simple("a", "one.example"))
				}
				time.Sleep(time.Minute)
				_ = r.stop()
				if n := slow.most.Load(); n != test.unstored {
					t.Errorf("%d outcomes were being recorded at once, want %d", n, test.unstored)
				}
				if n := most.Load(); n > int64(test.perSite) {
					t.Errorf("%d attempts at once at a site that takes %d", n, test.perSite)
				}
			})
		})
	}
}
