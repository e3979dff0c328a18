package schedule_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

// deferring is an agent for which every host is down.
func deferring(tries *atomic.Int64) *agent {
	return &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
		tries.Add(1)
		return refused(w)
	}}
}

func TestExpiry(t *testing.T) {
	const life = 12 * time.Minute // attempts at 0, 5 and 15 minutes
	for _, test := range []struct {
		name    string
		mail    mail
		reports int
	}{
		{"reported", mail{from: "a", at: []string{"dead.example"}, life: life}, 1},
		{"failure wanted", mail{from: "a", at: []string{"dead.example"}, life: life, notify: queue.NotifyFailure}, 1},
		{"two recipients in one report", mail{from: "a", at: []string{"dead.example", "dead.example"}, life: life}, 1},
		{"nothing wanted", mail{from: "a", at: []string{"dead.example"}, life: life, notify: queue.NotifyNever}, 0},
		{"only success wanted", mail{from: "a", at: []string{"dead.example"}, life: life, notify: queue.NotifySuccess}, 0},
		{"report", mail{at: []string{"dead.example"}, life: life, notify: queue.NotifyNever, kind: queue.Report}, 1},
		{"postmaster's copy", mail{at: []string{"dead.example"}, life: life, kind: queue.PostmasterCopy}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := openStore(t)
				defer store.Close()
				var tries atomic.Int64
				rep := &reporter{store: store}
				run(t, schedule.Options{Store: store, Reporter: rep, Agent: deferring(&tries)})
				id := submit(t, store, test.mail)
				time.Sleep(life - time.Second)
				if e := entry(t, store, id); !e.Ended.IsZero() {
					t.Fatalf("ended early: %+v", e)
				}
				time.Sleep(2 * time.Second)
				e := entry(t, store, id)
				if e.Ended.IsZero() || tries.Load() != 2 {
					t.Fatalf("%d attempts, not expired: %+v", tries.Load(), e.Deliveries)
				}
				for _, r := range e.Deliveries[0].Recipients {
					if r.Result != queue.Failed || r.Status != "4.4.7" || r.Reply != "delivery time expired after 12 minutes; last error: connection refused" {
						t.Errorf("recipient %+v", r)
					}
				}
				if got := rep.reports(); len(got) != test.reports {
					t.Errorf("%d reports, want %d", len(got), test.reports)
				}
			})
		})
	}
}

func TestExpiryDuringAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		rep := &reporter{store: store}
		r := run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			time.Sleep(10 * time.Minute)
			return greylisted(w)
		}}})
		id := submit(t, store, mail{from: "a", at: []string{"grey.example"}, life: time.Minute})
		time.Sleep(9 * time.Minute)
		if e := entry(t, store, id); !e.Ended.IsZero() || len(rep.reports()) > 0 {
			t.Fatalf("concluded under an attempt: %+v", e.Deliveries)
		}
		time.Sleep(2 * time.Minute)
		e := entry(t, store, id)
		if got := e.Deliveries[0].Recipients[0]; got.Reply != "delivery time expired after 60 seconds; last error: mx.example said: 450 4.2.0 come back" || got.Result != queue.Failed {
			t.Errorf("recipient %+v", got)
		}
		if got := r.Snapshot().Totals; got.Expired != 1 || len(rep.reports()) != 1 {
			t.Errorf("totals %+v, reports %v", got, rep.reports())
		}
	})
}

func TestExpiryOfMailNeverTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries atomic.Int64
		var ids []queue.ID
		for range 40 {
			ids = append(ids, submit(t, store, mail{from: "a", at: []string{"dead.example"}, life: 20 * time.Minute}))
		}
		run(t, schedule.Options{Store: store, Ramp: -1, Agent: deferring(&tries)})
		time.Sleep(22 * time.Minute)
		for _, id := range ids {
			r := entry(t, store, id).Deliveries[0].Recipients[0]
			if r.Result != queue.Failed || !strings.HasSuffix(r.Reply, "last error: connection refused") {
				t.Errorf("%s: %+v", id, r)
			}
		}
		if n := tries.Load(); n > 12 {
			t.Errorf("%d attempts at a dead site", n)
		}
	})
}

func TestOverdueMailGetsALastAttempt(t *testing.T) {
	for _, up := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			store := openStore(t)
			defer store.Close()
			id := submit(t, store, simple("a", "one.example"))
			time.Sleep(7 * 24 * time.Hour) // nobody runs
			rep := &reporter{store: store}
			run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
				time.Sleep(time.Second)
				if up {
					return sent(w)
				}
				return refused(w)
			}}})
			time.Sleep(time.Minute)
			e, want := entry(t, store, id), queue.Failed
			if up {
				want = queue.Relayed
			}
			if got := e.Deliveries[0]; got.Recipients[0].Result != want || got.Attempts != 1 {
				t.Errorf("up=%v: %+v", up, got)
			}
			if reported := len(rep.reports()) == 1; reported == up {
				t.Errorf("up=%v: reports %v", up, rep.reports())
			}
		})
	}
}

func TestHeldMailDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		counted := &countingStore{Store: store}
		var tries atomic.Int64
		run(t, schedule.Options{Store: counted, Agent: deferring(&tries)})
		id := submit(t, store, mail{from: "a", at: []string{"dead.example"}, life: time.Hour})
		time.Sleep(time.Minute)
		if _, err := store.Hold(context.Background(), "by root", id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if e := entry(t, store, id); !e.Ended.IsZero() || e.Deliveries[0].State != queue.Held {
			t.Errorf("held mail: %+v", e)
		}
		if n := counted.agenda.Load(); n > 200 {
			t.Errorf("agenda read %d times in a day for one message", n)
		}
		if _, err := store.Unhold(context.Background(), id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if e := entry(t, store, id); e.Ended.IsZero() || tries.Load() != 2 {
			t.Errorf("after its release, %d attempts: %+v", tries.Load(), e)
		}
	})
}

func TestFailureIsReportedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var failures atomic.Int64
		rep := &reporter{store: store, report: func(queue.ID) error {
			if failures.Add(1) <= 3 {
				return errors.New("template is broken")
			}
			return nil
		}}
		run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			return schedule.Verdict{Health: schedule.Good, Attempt: queue.Attempt{
				Outcomes: outcome(w, queue.Outcome{Result: queue.Failed, Code: 550, Status: "5.1.1", Reply: "550 5.1.1 unknown", Remote: "mx.example"}),
			}}
		}}})
		id := submit(t, store, simple("a", "one.example"))
		time.Sleep(time.Second)
		if got := rep.reports(); len(got) != 1 || got[0] != id {
			t.Fatalf("reports at once: %v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := rep.reports(); len(got) != 4 {
			t.Errorf("%d tries to report, want 4, a minute apart", len(got))
		}
		if e := entry(t, store, id); e.Ended.IsZero() {
			t.Errorf("not ended: %+v", e.Deliveries)
		}
	})
}

func TestDelayNotice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries atomic.Int64
		rep := &reporter{store: store}
		run(t, schedule.Options{Store: store, Reporter: rep, Agent: deferring(&tries)})
		id := submit(t, store, mail{from: "a", at: []string{"dead.example"}, notice: 4 * time.Hour})
		time.Sleep(4*time.Hour - time.Second)
		if got := rep.reports(); len(got) != 0 {
			t.Fatalf("reports before time: %v", got)
		}
		time.Sleep(20 * time.Hour)
		if got := rep.reports(); len(got) != 1 || got[0] != id {
			t.Errorf("reports %v, want one", got)
		}
		if e := entry(t, store, id); !e.Notified {
			t.Error("not marked as notified")
		}
	})
}

func TestReporterThatSettlesNothingIsNotCalledInACircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries, calls atomic.Int64
		lazy := reportFunc(func() { calls.Add(1) })
		run(t, schedule.Options{Store: store, Reporter: lazy, Agent: deferring(&tries)})
		submit(t, store, mail{from: "a", at: []string{"dead.example"}, notice: time.Minute})
		time.Sleep(time.Hour)
		if n := calls.Load(); n < 30 || n > 65 {
			t.Errorf("called %d times in an hour, want about once a minute", n)
		}
	})
}

type reportFunc func()

func (f reportFunc) Report(context.Context, queue.ID) error { f(); return nil }

func TestHistoryIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		run(t, schedule.Options{Store: store, KeepHistory: 48 * time.Hour, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict { return sent(w) }}})
		id := submit(t, store, simple("a", "one.example"))
		time.Sleep(47 * time.Hour)
		if _, err := store.Retired(context.Background(), id); err != nil {
			t.Errorf("forgotten early: %v", err)
		}
		time.Sleep(3 * time.Hour)
		if _, err := store.Retired(context.Background(), id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("still there after 50 hours: %v", err)
		}
	})
}
