package boltstore

import (
	"bytes"
	"context"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

var midday = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func openRecent(t *testing.T, path string) *Store {
	t.Helper()
	s, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func acceptBody(t *testing.T, s *Store, body string, destinations ...string) queue.ID {
	t.Helper()
	ctx := context.Background()
	d, err := s.Create(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte(body)); err != nil {
		t.Fatal(err)
	}
	m := &queue.Message{
		Envelope: queue.Envelope{ReversePath: address.Address{Local: "s", Domain: "example.org"}, EnvID: "\xff"},
		Origin:   queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, Client: "192.0.2.1:9"},
		Arrival:  midday.In(time.FixedZone("", 3600)), Expires: midday.Add(time.Hour),
	}
	for range destinations {
		m.Recipients = append(m.Recipients, queue.Recipient{Address: address.Address{Local: "r", Domain: "example.net"}, Notify: queue.NotifyNever})
	}
	id, err := d.Commit(ctx, m, destinations)
	if err != nil {
		t.Fatal(err)
	}
	m.Recipients[0].Original = "the caller's own" // what is kept is not the caller's
	return id
}

func loadFrom(t *testing.T, s *Store, destination string) *queue.Work {
	t.Helper()
	ctx := context.Background()
	leases, err := s.Claim(ctx, queue.Claim{Destination: destination, Owner: "t", Now: midday, Until: midday.Add(time.Hour), Max: 1})
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	w, err := s.Load(ctx, leases[0])
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// What Load has at hand is what it reads from the file later, and what has changed
// since is not taken for what it was.
func TestLoadAtHand(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "queue.db")
	s := openRecent(t, path)
	acceptBody(t, s, "body\n", "a", "b", "a")
	atHand := loadFrom(t, s, "a")
	if err := s.Release(ctx, atHand.Lease); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openRecent(t, path)
	defer s.Close()
	read := loadFrom(t, s, "a")
	read.Lease = atHand.Lease
	if !reflect.DeepEqual(atHand, read) || string(read.Body) != "body\n" {
		t.Errorf("at hand %+v\nfrom the file %+v", atHand, read)
	}

	id := acceptBody(t, s, "other\n", "c")
	w := loadFrom(t, s, "c")
	put := queue.Record{Now: midday, Next: midday, Attempt: queue.Attempt{Started: midday, Outcomes: []queue.Outcome{{Result: queue.Temporary, Reply: "later"}}}}
	if err := s.Record(ctx, w.Lease, put); err != nil {
		t.Fatal(err)
	}
	w = loadFrom(t, s, "c")
	if w.Delivery.Attempts != 1 || w.Delivery.Recipients[0].Reply != "later" || string(w.Body) != "other\n" {
		t.Errorf("after an attempt: %+v", w)
	}
	put.Attempt.Outcomes[0].Result = queue.Delivered
	if err := s.Record(ctx, w.Lease, put); err != nil {
		t.Fatal(err)
	}
	if s.recent.get(id) != nil {
		t.Error("a message that has ended is kept at hand")
	}
	e, err := s.Retired(ctx, id)
	if err != nil || len(e.Deliveries) != 1 || e.Deliveries[0].Recipients[0].Result != queue.Delivered || e.Deliveries[0].State != queue.Done {
		t.Errorf("retired: %+v, %v", e, err)
	}
}

// The memory is bounded whatever waits, and large messages are not kept at all.
func TestRecentIsBounded(t *testing.T) {
	s := openRecent(t, filepath.Join(t.TempDir(), "queue.db"))
	defer s.Close()
	big := acceptBody(t, s, string(bytes.Repeat([]byte("x"), atHand+1)), "d")
	if s.recent.get(big) != nil || loadFrom(t, s, "d").Body != nil {
		t.Error("a large message is kept at hand")
	}
	body := string(bytes.Repeat([]byte("x"), atHand))
	for range 2 * recentBytes / atHand {
		acceptBody(t, s, body, "d")
	}
	sum := 0
	for _, k := range s.recent.kept {
		sum += k.size()
	}
	if sum != s.recent.bytes || sum > recentBytes || sum < recentBytes/2 {
		t.Errorf("%d bytes at hand, counted as %d", sum, s.recent.bytes)
	}
}
