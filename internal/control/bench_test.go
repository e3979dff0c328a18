package control_test

import (
	"context"
	"io"
	"path/filepath"
	"testing"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// BenchmarkList lists 10,000 messages; the time is of a whole listing.
func BenchmarkList(b *testing.B) {
	const n = 10_000
	s, err := boltstore.Open(filepath.Join(b.TempDir(), "queue.db"), boltstore.Options{Ballast: -1, FreeFloor: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	done := make(chan error)
	for range 100 {
		go func() {
			var err error
			for range work {
				if err == nil {
					err = accept(s)
				}
			}
			done <- err
		}()
	}
	for range 100 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	for _, f := range []control.Format{control.FormatMailq, control.FormatJSON, control.FormatTable} {
		b.Run(string(f), func(b *testing.B) {
			for b.Loop() {
				if err := (&control.Local{Store: s}).List(b.Context(), queue.Filter{}, f, io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func accept(s queue.Store) error {
	d, err := s.Create(context.Background())
	if err != nil {
		return err
	}
	if _, err := d.Write(make([]byte, 2048)); err != nil {
		return err
	}
	_, err = d.Commit(context.Background(), &queue.Message{Arrival: arrival, Expires: arrival, Origin: queue.Origin{UID: 1},
		Envelope:   queue.Envelope{ReversePath: address.Address{Local: "alice", Domain: "example.org"}},
		Recipients: []queue.Recipient{{Address: address.Address{Local: "bob", Domain: "example.net"}}}}, []string{"example.net"})
	return err
}
