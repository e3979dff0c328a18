package control_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// fillQueue queues n messages for 1000 domains, every second one deferred once.
func fillQueue(b *testing.B, s queue.Store, n int) {
	const domains = 1000
	var group sync.WaitGroup
	const workers = 200
	for w := range workers {
		group.Go(func() {
			for i := w; i < n; i += workers {
				if err := acceptFor(s, i, domains); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	now := time.Now()
	for w := range workers {
		group.Go(func() {
			for d := w; d < domains; d += workers {
				if err := deferSome(s, fmt.Sprintf("d%d.example", d), n/domains/2, now); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

func acceptFor(s queue.Store, i, domains int) error {
	d, err := s.Create(context.Background())
	if err != nil {
		return err
	}
	if _, err := io.WriteString(d, "Subject: x\n\nhello\n"); err != nil {
		return err
	}
	domain := fmt.Sprintf("d%d.example", i%domains)
	_, err = d.Commit(context.Background(), &queue.Message{Arrival: time.Now(), Expires: arrival.Add(240 * time.Hour), Origin: queue.Origin{Via: queue.ViaSocket, UID: i % 50, Command: "cron"},
		MessageID:  fmt.Sprintf("<20261103044539.%d@host.example.org>", i),
		Envelope:   queue.Envelope{ReversePath: address.Address{Local: fmt.Sprintf("user%d", i%50), Domain: "host.example.org"}},
		Recipients: []queue.Recipient{{Address: address.Address{Local: fmt.Sprintf("someone%d", i), Domain: domain}}}}, []string{domain})
	return err
}

func deferSome(s queue.Store, destination string, n int, now time.Time) error {
	leases, err := s.Claim(context.Background(), queue.Claim{Destination: destination, Owner: "bench", Now: now, Until: now.Add(time.Hour), Max: n})
	if err != nil {
		return err
	}
	for _, l := range leases {
		out := []queue.Outcome{{Result: queue.Temporary, Status: "4.4.1", Reply: "connect to mx." + destination + ": connection timed out"}}
		if err := s.Record(context.Background(), l, queue.Record{Now: now, Next: now.Add(time.Hour), Attempt: queue.Attempt{Started: now, Outcomes: out}}); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkLarge asks about a large queue; BENCH_QUEUE is its size.
func BenchmarkLarge(b *testing.B) {
	n := 20_000
	if size, err := strconv.Atoi(os.Getenv("BENCH_QUEUE")); err == nil {
		n = size
	}
	s, err := boltstore.Open(filepath.Join(b.TempDir(), "queue.db"), boltstore.Options{Ballast: -1, FreeFloor: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	fillQueue(b, s, n)
	local := &control.Local{Store: s}
	b.Run("stats", func(b *testing.B) {
		for b.Loop() {
			if st, err := local.Stats(b.Context()); err != nil || st.Messages != n {
				b.Fatal(st, err)
			}
		}
	})
	for name, f := range map[string]queue.Filter{
		"list-domain":    {Domain: "d7.example"},
		"list-recipient": {Recipient: "someone7@d7.example"},
		"list-sender":    {Sender: "user7@host.example.org"},
		"list-all":       {},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := local.List(b.Context(), f, control.FormatJSON, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
