package schedule_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/queue"
	"postrider/queue/schedule"
)

// BenchmarkDispatch measures what the scheduler itself costs for one delivery: the
// store is in memory and attempts take no time.
func BenchmarkDispatch(b *testing.B) {
	for _, destinations := range []int{1, 1000} {
		b.Run(fmt.Sprintf("destinations=%d", destinations), func(b *testing.B) {
			store := newMemStore()
			each := max(1, b.N/destinations)
			for i := range destinations {
				store.add(fmt.Sprintf("d%d.example", i), 1, each)
			}
			benchmark(b, store, each*destinations)
			b.ReportMetric(float64(store.claims)/float64(each*destinations), "claims/op")
		})
	}
}

// BenchmarkStore does the same with the real store: every outcome is synced.
func BenchmarkStore(b *testing.B) {
	store := openStore(b)
	defer store.Close()
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			for n := i; n < b.N; n += 100 {
				if _, err := commit(store, simple(fmt.Sprint(n%10), fmt.Sprintf("d%d.example", n%50))); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	benchmark(b, store, b.N)
}

func benchmark(b *testing.B, store queue.Store, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	b.ResetTimer()
	run(b, schedule.Options{Store: store, Ramp: -1, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
		if left.Add(-1) == 0 {
			close(done)
		}
		return sent(w)
	}}})
	<-done
	b.StopTimer()
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "deliveries/s")
}
