package boltstore_test

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
)

var bg = context.Background()

var start = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func openBench(b *testing.B) *boltstore.Store {
	b.Helper()
	s, err := boltstore.Open(filepath.Join(b.TempDir(), "queue.db"), boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// typical is a message such as a cron job sends.
func typical(sender, recipient int) *queue.Message {
	return &queue.Message{
		Envelope: queue.Envelope{ReversePath: address.Address{Local: fmt.Sprintf("user%d", sender), Domain: "host.example.com"}},
		Recipients: []queue.Recipient{
			{Address: address.Address{Local: fmt.Sprintf("someone%d", recipient), Domain: "mail.example.net"}},
		},
		Origin:       queue.Origin{Via: queue.ViaSocket, UID: 1000 + sender, PID: 4711, Command: "cron"},
		MessageID:    fmt.Sprintf("<20260301120000.%012d@host.example.com>", recipient),
		Arrival:      start,
		Expires:      start.Add(5 * 24 * time.Hour),
		NoticeAt:     start.Add(4 * time.Hour),
		SubmissionID: fmt.Sprintf("%d.%d", sender, recipient),
	}
}

func accept(s queue.Store, m *queue.Message, body []byte, destination string) (queue.ID, error) {
	d, err := s.Create(bg)
	if err != nil {
		return 0, err
	}
	if _, err := d.Write(body); err != nil {
		return 0, err
	}
	return d.Commit(bg, m, []string{destination})
}

// clients divides n operations among goroutines.
func clients(b *testing.B, count int, do func(client, n int) error) {
	var wg sync.WaitGroup
	for c := range count {
		wg.Go(func() {
			for n := c; n < b.N; n += count {
				if err := do(c, n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkAccept(b *testing.B) {
	body := make([]byte, 2048)
	for _, count := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("clients=%d", count), func(b *testing.B) {
			s := openBench(b)
			b.ResetTimer()
			clients(b, count, func(c, n int) error {
				_, err := accept(s, typical(c, n), body, fmt.Sprintf("smtp:d%d.example", n%1000))
				return err
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
			st, err := s.Stats(bg)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(st.FileSize-st.FileFree)/float64(b.N), "B/msg")
		})
	}
}

func BenchmarkRecord(b *testing.B) {
	body := make([]byte, 2048)
	for _, count := range []int{1, 20, 100} {
		b.Run(fmt.Sprintf("clients=%d", count), func(b *testing.B) {
			s := openBench(b)
			clients(b, 200, func(c, n int) error {
				_, err := accept(s, typical(c, n), body, "smtp:smarthost.example")
				return err
			})
			leases, err := s.Claim(bg, queue.Claim{Destination: "smtp:smarthost.example", Owner: "bench", Now: start, Until: start.Add(time.Hour), Max: b.N})
			if err != nil || len(leases) != b.N {
				b.Fatal(len(leases), err)
			}
			b.ResetTimer()
			clients(b, count, func(_, n int) error {
				out := []queue.Outcome{{Index: 0, Result: queue.Delivered, Code: 250, Status: "2.0.0", Reply: "250 2.0.0 Ok: queued as 4711", Remote: "mx.example.net"}}
				return s.Record(bg, leases[n], queue.Record{Now: start, Attempt: queue.Attempt{Started: start, Took: time.Second, Outcomes: out, Destination: "smtp:smarthost.example"}})
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rec/s")
		})
	}
}

// list makes recipients of a list, of one remote domain.
func list(count int) []queue.Added {
	owner := address.Address{Local: "owner-list", Domain: "example.com"}
	added := make([]queue.Added, count)
	for i := range added {
		added[i] = queue.Added{Unique: true, Destination: "smtp:example.net", Recipient: queue.Recipient{
			Address: address.Address{Local: fmt.Sprintf("someone%d", i), Domain: "example.net"},
			Via:     []address.Address{{Local: "list", Domain: "example.com"}}, ReversePath: &owner,
		}}
	}
	return added
}

// BenchmarkExpand adds 10,000 recipients to a message, and loads their deliveries.
func BenchmarkExpand(b *testing.B) {
	added := list(10_000)
	s := openBench(b)
	var load time.Duration
	for n := 0; b.Loop(); n++ {
		b.StopTimer()
		if _, err := accept(s, typical(1, n), make([]byte, 2048), "local:"); err != nil {
			b.Fatal(err)
		}
		l := claimAll(b, s, "local:")
		out := []queue.Outcome{{Result: queue.Expanded, Status: "2.0.0"}}
		b.StartTimer()
		if err := s.Record(bg, l[0], queue.Record{Now: start, Attempt: queue.Attempt{Started: start, Outcomes: out}, Added: added}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		began := time.Now()
		for _, l := range claimAll(b, s, "smtp:example.net") {
			if _, err := s.Load(bg, l); err != nil {
				b.Fatal(err)
			}
		}
		load += time.Since(began)
		if n, err := s.Delete(bg, start, "", l[0].Key.Message); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(load.Milliseconds())/float64(b.N), "ms-to-load/op")
}

func claimAll(b *testing.B, s queue.Store, destination string) []queue.Lease {
	b.Helper()
	leases, err := s.Claim(bg, queue.Claim{Destination: destination, Owner: "bench", Now: start, Until: start.Add(time.Hour), Max: 20_000})
	if err != nil || len(leases) == 0 {
		b.Fatal(len(leases), err)
	}
	return leases
}
