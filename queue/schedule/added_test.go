package schedule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/address"
	"postrider/queue"
	"postrider/queue/schedule"
)

var list = address.Address{Local: "rcpt0", Domain: "local.example"} // the one recipient of simple

func member(local, destination string, notify queue.Notify) queue.Added {
	return queue.Added{Unique: true, Destination: destination, Recipient: queue.Recipient{
		Address: address.Address{Local: local, Domain: destination}, Notify: notify, Via: []address.Address{list},
	}}
}

func expandedTo(added ...queue.Added) schedule.Verdict {
	o := queue.Outcome{Result: queue.Expanded, Status: "2.0.0", Reply: "expanded to " + strconv.Itoa(len(added))}
	return schedule.Verdict{Health: schedule.Good, Attempt: queue.Attempt{Outcomes: []queue.Outcome{o}}, Added: added}
}

// TestAddedAreTriedAtOnce: on their own, at destinations new and old.
func TestAddedAreTriedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var j journal
		var out bytes.Buffer
		owner := address.Address{Local: "owner", Domain: "local.example"}
		failed := member("gone", "local.example", 0)
		failed.Outcome = &queue.Outcome{Index: 5, Result: queue.Failed, Status: "5.1.1", Reply: "no such user"}
		failed.Recipient.ReversePath = &owner
		r := run(t, schedule.Options{Store: store, Logger: slog.New(slog.NewJSONHandler(&out, nil)), Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			for _, o := range outcome(w, queue.Outcome{}) {
				j.add(w.Message.Recipients[o.Index].Address.String())
			}
			if w.Delivery.Key.N > 0 {
				return sent(w)
			}
			return expandedTo(member("a", "new.example", 0), member("b", "local.example", 0), member("c", "new.example", 0), failed)
		}}})
		began := time.Now()
		id := submit(t, store, simple("s", "local.example"))
		synctest.Wait()
		got := j.all()
		slices.Sort(got)
		if want := []string{"a@new.example", "b@local.example", "c@new.example", "rcpt0@local.example"}; !reflect.DeepEqual(got, want) || time.Since(began) > 0 {
			t.Errorf("tried %v after %v, want %v at once", got, time.Since(began), want)
		}
		if e := entry(t, store, id); !e.Deliveries[0].Recipients[0].Result.Ended() || len(e.Message.Recipients) != 5 {
			t.Errorf("entry %+v", e)
		}
		if n := r.Snapshot().Totals; n.Expanded != 1 || n.Delivered != 3 || n.Failed != 1 {
			t.Errorf("totals %+v", n)
		}
		_ = r.stop()
		var lines [][]any
		for line := range bytes.Lines(out.Bytes()) {
			m := map[string]any{}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			if m["msg"] == "delivery" {
				lines = append(lines, []any{m["from"], m["to"], m["orig_to"], m["status"], m["reply"]})
			}
		}
		want := [][]any{
			{"s@sender.example", "rcpt0@local.example", nil, "expanded", "expanded to 4"},
			{"owner@local.example", "gone@local.example", "rcpt0@local.example", "bounced", "no such user"},
		}
		if len(lines) != 5 || !reflect.DeepEqual(lines[:2], want) || lines[2][2] != list.String() {
			t.Errorf("lines %v, want first %v", lines, want)
		}
	})
}

// TestOwedOfExpanded: who is told of an expansion, and of what ended with it.
func TestOwedOfExpanded(t *testing.T) {
	const success = queue.NotifySuccess
	with := func(a queue.Added, r queue.Result, owed bool) queue.Added {
		a.Outcome = &queue.Outcome{Result: r, Status: "2.0.0", Owed: owed}
		return a
	}
	never := member("a", "x.example", queue.NotifyNever)
	same := member(list.Local, list.Domain, success)
	for _, test := range []struct {
		name   string
		kind   queue.Kind
		notify queue.Notify
		result queue.Result
		added  []queue.Added
		want   []int // indexes owed
	}{
		{"nothing asked", 0, 0, queue.Expanded, []queue.Added{member("a", "x.example", 0), member("b", "x.example", 0)}, nil},
		{"several", 0, success, queue.Expanded, []queue.Added{never, member("b", "x.example", queue.NotifyNever)}, []int{0}},
		{"one that has the request", 0, success, queue.Expanded, []queue.Added{member("a", "x.example", success)}, nil},
		{"one without the request", 0, success, queue.Expanded, []queue.Added{never}, []int{0}},
		{"one that is left out", 0, success, queue.Expanded, []queue.Added{same}, []int{0}},
		{"none", 0, success, queue.Expanded, nil, []int{0}},
		{"merged", 0, success, queue.Merged, nil, []int{0}},
		{"merged, nothing asked", 0, 0, queue.Merged, []queue.Added{never}, nil},
		{"a report", queue.Report, success, queue.Expanded, []queue.Added{never}, nil},
		{"one ended", 0, 0, queue.Expanded, []queue.Added{with(member("a", "x.example", 0), queue.Failed, false), with(member("b", "x.example", 0), queue.Delivered, true)}, []int{1}},
		{"one ended that is not to be told of", 0, 0, queue.Expanded, []queue.Added{with(never, queue.Failed, true)}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := openStore(t)
				defer store.Close()
				rep := &reporter{store: store}
				var mu sync.Mutex
				owed := map[int]bool{}
				rep.report = func(id queue.ID) error {
					mu.Lock()
					defer mu.Unlock()
					for _, d := range entry(t, store, id).Deliveries {
						for _, r := range d.Recipients {
							if r.Owed {
								owed[r.Index] = true
							}
						}
					}
					return nil
				}
				run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
					if w.Delivery.Key.N > 0 {
						o := queue.Outcome{Result: queue.Delivered, Status: "2.0.0", Remote: "mx.example"}
						return schedule.Verdict{Attempt: queue.Attempt{Outcomes: outcome(w, o)}}
					}
					v := expandedTo(test.added...)
					v.Attempt.Outcomes[0].Result, v.Attempt.Outcomes[0].Owed = test.result, len(test.want) == 0
					return v
				}}})
				id := submit(t, store, mail{from: "s", at: []string{"local.example"}, notify: test.notify, kind: test.kind})
				time.Sleep(time.Hour)
				mu.Lock()
				defer mu.Unlock()
				var got []int
				for i := range 3 {
					if owed[i] {
						got = append(got, i)
					}
				}
				if !reflect.DeepEqual(got, test.want) {
					t.Errorf("owed %v, want %v", got, test.want)
				}
				if entry(t, store, id).Ended.IsZero() {
					t.Error("still in the queue")
				}
				for _, a := range test.added {
					if a.Outcome != nil && a.Outcome.Owed != (a.Outcome.Result == queue.Delivered || a.Recipient.Notify == queue.NotifyNever) {
						t.Error("what the agent gave was changed")
					}
				}
			})
		})
	}
}

// TestFailureOfAddedIsReportedSoon: nothing else has to happen for it.
func TestFailureOfAddedIsReportedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		rep := &reporter{store: store}
		run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(context.Context, *queue.Work) schedule.Verdict {
			failed := member("a", "x.example", 0)
			failed.Outcome = &queue.Outcome{Result: queue.Failed, Status: "5.1.1"}
			return expandedTo(failed)
		}}})
		id := submit(t, store, simple("s", "local.example"))
		time.Sleep(time.Second)
		if got := rep.reports(); !reflect.DeepEqual(got, []queue.ID{id}) {
			t.Errorf("reported %v", got)
		}
	})
}

// TestTemporaryAddedIsTried: only what has ended is recorded with its outcome.
func TestTemporaryAddedIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			if w.Delivery.Key.N > 0 {
				return sent(w)
			}
			later := member("a", "x.example", 0)
			later.Outcome = &queue.Outcome{Result: queue.Temporary, Status: "4.3.0"}
			return expandedTo(later)
		}}})
		id := submit(t, store, simple("s", "local.example"))
		synctest.Wait()
		if e := entry(t, store, id); e.Ended.IsZero() {
			t.Errorf("%+v", e.Deliveries)
		}
	})
}

// TestTooManyAddedAreDeferred: a list that is too large waits for somebody to mend
// it, and fails in the end.
func TestTooManyAddedAreDeferred(t *testing.T) {
	for name, mended := range map[string]bool{"mended": true, "not mended": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := openStore(t)
				defer store.Close()
				rep := &reporter{store: store}
				var many []queue.Added
				for i := range 1 << 16 {
					many = append(many, queue.Added{Destination: "d" + strconv.Itoa(i)})
				}
				run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
					if mended && w.Delivery.Attempts > 0 {
						return sent(w)
					}
					v := expandedTo(many...)
					v.Attempt.Outcomes = append(v.Attempt.Outcomes, queue.Outcome{Index: 1, Result: queue.Delivered, Status: "2.0.0"})
					return v
				}}})
				id := submit(t, store, mail{from: "s", at: []string{"local.example", "local.example"}, life: time.Hour})
				synctest.Wait()
				e := entry(t, store, id)
				r := e.Deliveries[0].Recipients
				if len(e.Message.Recipients) != 2 || e.Deliveries[0].State != queue.Deferred || r[0].Result != queue.Temporary || r[0].Status != "4.5.3" || r[1].Result != queue.Delivered {
					t.Errorf("%+v", e.Deliveries)
				}
				time.Sleep(3 * time.Hour)
				want := queue.Failed
				if mended {
					want = queue.Relayed
				}
				if e := entry(t, store, id); e.Deliveries[0].Recipients[0].Result != want || (len(rep.reports()) == 0) != mended {
					t.Errorf("in the end %+v, %d reports", e.Deliveries, len(rep.reports()))
				}
			})
		})
	}
}
