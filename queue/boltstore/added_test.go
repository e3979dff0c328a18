package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	bolt "go.etcd.io/bbolt"

	"postrider/internal/address"
	"postrider/queue"
)

// expand records that the only recipient of a message became others.
func expand(t *testing.T, s *Store, destination string, added ...queue.Added) error {
	t.Helper()
	w := loadFrom(t, s, destination)
	out := []queue.Outcome{{Result: queue.Expanded, Status: "2.0.0"}}
	return s.Record(t.Context(), w.Lease, queue.Record{Now: midday, Next: midday, Attempt: queue.Attempt{Started: midday, Outcomes: out}, Added: added})
}

func members(n int, destination string) []queue.Added {
	added := make([]queue.Added, n)
	for i := range added {
		added[i] = queue.Added{Unique: true, Destination: destination, Recipient: queue.Recipient{
			Address: address.Address{Local: fmt.Sprint("m", i), Domain: "example.org"}, Via: []address.Address{{Local: "r", Domain: "example.net"}},
		}}
	}
	return added
}

// TestGrownIsNotAtHand: what is kept at hand of a message is as it was accepted.
func TestGrownIsNotAtHand(t *testing.T) {
	s := openRecent(t, filepath.Join(t.TempDir(), "queue.db"))
	defer s.Close()
	id := acceptBody(t, s, "x\n", "a")
	if s.recent.get(id) == nil {
		t.Fatal("not at hand")
	}
	refuse := errors.New("refused")
	s.opts.commitFault = func() error {
		if s.recent.get(id) != nil {
			return refuse // whoever sees the commit would load what was before
		}
		return nil
	}
	if err := expand(t, s, "a", members(2, "b")...); err != nil {
		t.Fatal(err)
	}
	if w := loadFrom(t, s, "b"); len(w.Message.Recipients) != 3 || w.Delivery.Recipients[1].Index != 2 {
		t.Errorf("%+v", w)
	}
}

// TestLargeMessagesAreShared: among those that hold one, and no longer.
func TestLargeMessagesAreShared(t *testing.T) {
	s := openRecent(t, filepath.Join(t.TempDir(), "queue.db"))
	defer s.Close()
	acceptBody(t, s, "x\n", "a")
	if err := expand(t, s, "a", members(recentRecipients*3, "b")...); err != nil {
		t.Fatal(err)
	}
	first, second := loadFrom(t, s, "b"), loadFrom(t, s, "b")
	if first.Message != second.Message || first.Delivery.Key == second.Delivery.Key {
		t.Error("decoded twice")
	}
	before := slices.Clone(first.Message.Recipients)
	if err := s.Record(t.Context(), first.Lease, queue.Record{Now: midday, Added: members(recentRecipients*3+1, "c")}); err != nil {
		t.Fatal(err)
	}
	third := loadFrom(t, s, "c")
	if n := len(third.Message.Recipients); n != len(before)+1 || len(second.Message.Recipients) != len(before) {
		t.Errorf("%d recipients, before %d", n, len(before))
	}
	runtime.KeepAlive(first)
	runtime.KeepAlive(second)
	runtime.KeepAlive(third)
	runtime.GC()
	for id, k := range s.large.kept {
		if k.message.Value() != nil {
			t.Errorf("%s is kept for nobody", id)
		}
	}
}

// TestMostRecipients grows a message to its bound, and lets it end.
func TestMostRecipients(t *testing.T) {
	s := openRecent(t, filepath.Join(t.TempDir(), "queue.db"))
	defer s.Close()
	id := acceptBody(t, s, "x\n", "a")
	all := members(maxRecipients, "b")
	w := loadFrom(t, s, "a")
	r := queue.Record{Now: midday, Attempt: queue.Attempt{Started: midday, Outcomes: []queue.Outcome{{Result: queue.Expanded}}}, Added: all}
	if err := s.Record(t.Context(), w.Lease, r); !errors.Is(err, queue.ErrTooMany) {
		t.Fatal(err)
	}
	r.Added = all[1:]
	if err := s.Record(t.Context(), w.Lease, r); err != nil {
		t.Fatal(err)
	}
	var outcomes []queue.Outcome
	var indexes []int
	for i := range maxRecipients {
		outcomes = append(outcomes, queue.Outcome{Index: i, Result: queue.Failed, Status: "5.0.0", Owed: true})
		indexes = append(indexes, i)
	}
	if err := s.Conclude(t.Context(), id, midday, "n", outcomes); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Settle(t.Context(), queue.Settlement{Message: id, Now: midday, Recipients: indexes}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Retired(t.Context(), id); err != nil || len(e.Deliveries) != 1+(maxRecipients-1+queue.DeliverySize-1)/queue.DeliverySize {
		t.Error(err)
	}
}

// TestFirstSchema: a file of the version before is read as it is, and marked so that
// programs of that version leave it alone.
func TestFirstSchema(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queue.db")
	s := openRecent(t, path)
	id := acceptBody(t, s, "x\n", "a")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mark := func(version uint32) []byte { return binary.BigEndian.AppendUint32([]byte(schemaMagic), version) }
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bolt.Tx) error { return tx.Bucket(metaBucket.name()).Put([]byte(schemaKey), mark(1)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = openRecent(t, path)
	defer s.Close()
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), id); err != nil {
		t.Error(err)
	}
	if err := s.view(func(v *view) error {
		if got, err := schemaVersion(v.tx); err != nil || got != 2 {
			t.Errorf("version %d, %v", got, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
