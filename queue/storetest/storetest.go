// Package storetest verifies that a queue.Store keeps its contract.
//
//  1. [Run] opens a fresh store for every sentence of the contract and tries it.
//  2. It then applies thousands of random operations, restarts included, to a store
//     and to a simple model in memory, and compares what both hold.
//  3. After every test the store must pass its own Check.
//
// It does not test what happens to the files of a store when the machine fails;
// that is for each implementation to do.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/queue"
)

// Harness is a store under test.
type Harness struct {
	Store queue.Store
	// Reopen closes the store and opens it again as a new process would.
	Reopen func(t *testing.T) queue.Store
	// ReportWait is how long owed reports wait for recipients still untried.
	ReportWait time.Duration
}

// Run tests the stores that open makes. Each must be empty; it is closed by Run.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	groups := []struct {
		name  string
		tests []test
	}{
		{"Accept", acceptTests()},
		{"Claim", claimTests()},
		{"Record", recordTests()},
		{"Added", addedTests()},
		{"Report", reportTests()},
		{"Read", readTests()},
		{"Admin", adminTests()},
		{"Whole", wholeTests()},
	}
	for _, g := range groups {
		t.Run(g.name, func(t *testing.T) {
			for _, tt := range g.tests {
				t.Run(tt.name, func(t *testing.T) { runOne(t, open, tt.run) })
			}
		})
	}
}

// test tries one sentence of the contract.
type test struct {
	name string
	run  func(f *fixture)
}

func runOne(t *testing.T, open func(t *testing.T) Harness, run func(f *fixture)) {
	f := &fixture{T: t, Harness: open(t), now: time.Date(2026, time.May, 4, 9, 0, 0, 123456789, time.UTC)}
	t.Cleanup(func() {
		if err := f.Store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	run(f)
	err := f.Store.Check(f.ctx())
	if err != nil && !errors.Is(err, queue.ErrClosed) {
		t.Errorf("Check after the test: %v", err)
	}
}

// fixture is one test's store with its clock.
type fixture struct {
	*testing.T
	Harness
	now time.Time
	seq int
}

func (f *fixture) ctx() context.Context { return f.Context() }

// restart opens the store anew.
func (f *fixture) restart() {
	f.Helper()
	f.Store = f.Reopen(f.T)
}

// must ends the test on an error.
func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

// want ends the test unless the error is the wanted one.
func (f *fixture) want(err, wanted error) {
	f.Helper()
	if !errors.Is(err, wanted) {
		f.Fatalf("error %v, want %v", err, wanted)
	}
}

// same ends the test unless both are deeply equal.
func (f *fixture) same(what string, got, want any) {
	f.Helper()
	if !reflect.DeepEqual(got, want) {
		f.Fatalf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// message makes a message from a sender to one recipient for each destination.
func (f *fixture) message(sender string, destinations ...string) *queue.Message {
	f.seq++
	m := &queue.Message{
		Envelope:  queue.Envelope{ReversePath: address.Address{Local: sender, Domain: "example.com"}},
		Origin:    queue.Origin{Via: queue.ViaSocket, UID: 1000, PID: 42},
		MessageID: fmt.Sprintf("<%d@example.com>", f.seq),
		Arrival:   f.now,
		Expires:   f.now.Add(5 * 24 * time.Hour),
		NoticeAt:  f.now.Add(4 * time.Hour),
	}
	for i := range destinations {
		m.Recipients = append(m.Recipients, queue.Recipient{Address: address.Address{Local: fmt.Sprintf("r%d", i), Domain: "example.net"}})
	}
	return m
}

// commit accepts a message with the body.
func (f *fixture) commit(m *queue.Message, body string, destinations ...string) queue.ID {
	f.Helper()
	id, err := f.tryCommit(m, body, destinations...)
	f.must(err)
	return id
}

// tryCommit is commit for any goroutine.
func (f *fixture) tryCommit(m *queue.Message, body string, destinations ...string) (queue.ID, error) {
	d, err := f.Store.Create(f.ctx())
	if err != nil {
		return 0, err
	}
	if _, err := io.WriteString(d, body); err != nil {
		return 0, errors.Join(err, d.Abort())
	}
	return d.Commit(f.ctx(), m, destinations)
}

// accept stores a message from a sender for the destinations.
func (f *fixture) accept(sender string, destinations ...string) queue.ID {
	f.Helper()
	return f.commit(f.message(sender, destinations...), "Subject: test\n\nbody\n", destinations...)
}

// claim leases up to most deliveries for an hour.
func (f *fixture) claim(destination string, most int) []queue.Lease {
	f.Helper()
	ls, err := f.Store.Claim(f.ctx(), queue.Claim{Destination: destination, Owner: "test", Now: f.now, Until: f.now.Add(time.Hour), Max: most})
	f.must(err)
	return ls
}

// claimOne leases the one delivery that is due.
func (f *fixture) claimOne(destination string) queue.Lease {
	f.Helper()
	ls := f.claim(destination, 2)
	if len(ls) != 1 {
		f.Fatalf("claimed %d deliveries of %q, want 1", len(ls), destination)
	}
	return ls[0]
}

// record makes a record with the outcomes.
func (f *fixture) record(outcomes ...queue.Outcome) queue.Record {
	return queue.Record{
		Now:     f.now,
		Attempt: queue.Attempt{Started: f.now.Add(-time.Second), Took: time.Second, Outcomes: outcomes},
		Next:    f.now.Add(5 * time.Minute),
	}
}

// delivered, deferred, failed and bounced are outcomes of a recipient; the sender
// is to be told of the last.
func delivered(i int) queue.Outcome {
	return queue.Outcome{Index: i, Result: queue.Delivered, Code: 250, Status: "2.0.0", Reply: "250 2.0.0 ok", Remote: "mx.example.net"}
}

func deferred(i int) queue.Outcome {
	return queue.Outcome{Index: i, Result: queue.Temporary, Code: 451, Status: "4.3.0", Reply: "451 4.3.0 later\xff", Remote: "mx.example.net"}
}

func bounced(i int) queue.Outcome {
	return queue.Outcome{Index: i, Result: queue.Failed, Code: 550, Status: "5.1.1", Reply: "550 5.1.1 who?", Remote: "mx.example.net", Owed: true}
}

// get reads a message that must be in the queue.
func (f *fixture) get(id queue.ID) *queue.Entry {
	f.Helper()
	e, err := f.Store.Get(f.ctx(), id)
	f.must(err)
	return e
}

// state is that of the only delivery of a message.
func (f *fixture) state(id queue.ID) queue.State {
	f.Helper()
	e := f.get(id)
	if len(e.Deliveries) != 1 {
		f.Fatalf("%d deliveries, want 1", len(e.Deliveries))
	}
	return e.Deliveries[0].State
}

// body reads a whole body.
func (f *fixture) body(id queue.ID) []byte {
	f.Helper()
	r, err := f.Store.Body(f.ctx(), id)
	f.must(err)
	b, err := io.ReadAll(r)
	f.must(err)
	f.must(r.Close())
	return b
}

// destination is the summary, zero without mail.
func (f *fixture) destination(name string) queue.Destination {
	f.Helper()
	all, err := f.Store.Destinations(f.ctx(), "", 1000)
	f.must(err)
	for _, d := range all {
		if d.Name == name {
			return d
		}
	}
	return queue.Destination{}
}

// agenda is when the message comes up, zero if it does not.
func (f *fixture) agenda(id queue.ID) time.Time {
	f.Helper()
	items, err := f.Store.Agenda(f.ctx(), f.now.Add(1000*24*time.Hour), 1000)
	f.must(err)
	for _, item := range items {
		if item.ID == id {
			return item.At
		}
	}
	return time.Time{}
}

// pattern is a body of the given size that repeats nowhere nearby.
func pattern(size int) string {
	var b bytes.Buffer
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "line %d of a body\n", i)
	}
	return b.String()[:size]
}
