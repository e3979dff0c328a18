package boltstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"postrider/internal/address"
	"postrider/queue"
)

func cpu() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func TestScratch(t *testing.T) {
	start := time.Now()
	for _, cl := range []int{100} {
		for _, nd := range []int{1, 1000} {
			dir := t.TempDir()
			s, err := Open(filepath.Join(dir, "queue.db"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			n, _ := strconv.Atoi(os.Getenv("N"))
			if n == 0 {
				n = 10000
			}
			commits := 0
			s.Watch(func([]queue.Destination) { commits++ })
			body := make([]byte, 2048)
			c0, t0 := cpu(), time.Now()
			var wg sync.WaitGroup
			for c := range cl {
				wg.Go(func() {
					for i := c; i < n; i += cl {
						d, _ := s.Create(context.Background())
						d.Write(body)
						m := &queue.Message{
							Envelope:     queue.Envelope{ReversePath: address.Address{Local: fmt.Sprintf("user%d", c), Domain: "host.example.com"}},
							Recipients:   []queue.Recipient{{Address: address.Address{Local: fmt.Sprintf("someone%d", i), Domain: "mail.example.net"}}},
							Origin:       queue.Origin{Via: queue.ViaSocket, UID: 1000 + c, PID: 4711, Command: "cron"},
							MessageID:    fmt.Sprintf("<20260301120000.%012d@host.example.com>", i),
							Arrival:      start.Add(time.Duration(i) * time.Millisecond),
							Expires:      start.Add(5 * 24 * time.Hour).Add(time.Duration(i) * time.Millisecond),
							NoticeAt:     start.Add(4 * time.Hour).Add(time.Duration(i) * time.Millisecond),
							SubmissionID: fmt.Sprintf("%d.%d", c, i)[:min(len(os.Getenv("SUB"))*100, len(fmt.Sprint(c, i)))],
						}
						if _, err := d.Commit(context.Background(), m, []string{fmt.Sprintf("smtp:d%d.example", i%nd)}); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			st, _ := s.Stats(context.Background())
			var io [7]int64
			fmt.Printf("clients=%d dests=%d: cpu %v/op wall %v/op disk %d B/op batch %d\n", cl, nd, (cpu()-c0)/time.Duration(n), time.Since(t0)/time.Duration(n), (st.FileSize-st.FileFree)/int64(n), n/commits)
			_ = io
			if os.Getenv("V") != "" {
				s.db.View(func(tx *bolt.Tx) error {
					return tx.ForEach(func(name []byte, b *bolt.Bucket) error {
						x := b.Stats()
						fmt.Printf("  %-12s keys %6d leafpages %5d ovf %5d branch %d alloc %d inuse %d -> %d B/op\n", name, x.KeyN, x.LeafPageN, x.LeafOverflowN, x.BranchPageN, x.LeafAlloc, x.LeafInuse, (x.LeafAlloc+x.BranchAlloc)/n)
						return nil
					})
				})
			}
			s.Close()
		}
	}
}
