package schedule_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/queue"
	"postrider/queue/schedule"
)

func TestOneLogLineForEachOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var out bytes.Buffer
		log := slog.New(slog.NewJSONHandler(&out, nil))
		r := run(t, schedule.Options{Store: store, Logger: log, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			time.Sleep(2 * time.Second)
			return schedule.Verdict{Health: schedule.Good, Attempt: queue.Attempt{
				Tries: []queue.Try{{Host: "mx1.example"}, {Host: "mx2.example"}},
				Outcomes: []queue.Outcome{
					{Index: 0, Result: queue.Delivered, Status: "2.1.5", Reply: "250 2.1.5 ok", Remote: "mx2.example"},
					{Index: 1, Result: queue.Failed, Status: "5.1.1", Reply: "550 5.1.1 unknown", Remote: "mx2.example"},
					{Index: 2, Result: queue.Temporary, Status: "4.3.0", Reply: "cannot read key"},
					{Index: 7, Result: queue.Failed, Status: "5.0.0"},
				},
			}}
		}}})
		to := []string{"x", "y", "z"}
		id := submit(t, store, mail{from: "a", to: to, at: []string{"one.example", "one.example", "one.example"}})
		time.Sleep(time.Minute)
		_ = r.stop()
		var got []map[string]any
		for line := range bytes.Lines(out.Bytes()) {
			m := map[string]any{}
			if err := json.Unmarshal(line, &m); err != nil {
				t.Fatal(err)
			}
			if m["msg"] == "delivery" {
				delete(m, "time")
				got = append(got, m)
			}
		}
		want := func(to, host, status, dsn, reply string) map[string]any {
			return map[string]any{
				"level": "INFO", "msg": "delivery", "id": id.String(), "from": "a@sender.example", "to": to, "destination": "one.example",
				"host": host, "status": status, "dsn": dsn, "delay": float64(2 * time.Second), "attempts": 1.0, "reply": reply,
			}
		}
		wants := []map[string]any{
			want("x@one.example", "mx2.example", "sent", "2.1.5", "250 2.1.5 ok"),
			want("y@one.example", "mx2.example", "bounced", "5.1.1", "550 5.1.1 unknown"),
			want("z@one.example", "mx2.example", "deferred", "4.3.0", "cannot read key"),
			want("", "mx2.example", "bounced", "5.0.0", ""),
		}
		if !reflect.DeepEqual(got, wants) {
			t.Errorf("lines\n%v\nwant\n%v", got, wants)
		}
	})
}

func TestOwed(t *testing.T) {
	for _, test := range []struct {
		name   string
		kind   queue.Kind
		notify queue.Notify
		result queue.Result
		want   bool
	}{
		{"failure, nothing asked", queue.Ordinary, 0, queue.Failed, true},
		{"failure, asked", queue.Ordinary, queue.NotifyFailure, queue.Failed, true},
		{"failure, never", queue.Ordinary, queue.NotifyNever, queue.Failed, false},
		{"failure, only delay", queue.Ordinary, queue.NotifyDelay, queue.Failed, false},
		{"delivered, nothing asked", queue.Ordinary, 0, queue.Delivered, false},
		{"delivered, asked", queue.Ordinary, queue.NotifySuccess, queue.Delivered, true},
		{"relayed, asked", queue.Ordinary, queue.NotifySuccess, queue.Relayed, true},
		{"relayed, never", queue.Ordinary, queue.NotifyNever, queue.Relayed, false},
		{"report failed", queue.Report, queue.NotifyNever, queue.Failed, true},
		{"report delivered", queue.Report, queue.NotifySuccess, queue.Delivered, false},
		{"postmaster's copy failed", queue.PostmasterCopy, 0, queue.Failed, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := openStore(t)
				defer store.Close()
				rep := &reporter{store: store}
				run(t, schedule.Options{Store: store, Reporter: rep, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
					return schedule.Verdict{Attempt: queue.Attempt{Outcomes: []queue.Outcome{{Result: test.result, Status: "5.0.0", Owed: !test.want}}}}
				}}})
				submit(t, store, mail{from: "a", at: []string{"one.example"}, notify: test.notify, kind: test.kind})
				time.Sleep(time.Second)
				if got := len(rep.reports()) == 1; got != test.want {
					t.Errorf("reported: %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var j journal
		run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict {
			j.add(w.Delivery.Destination)
			if w.Delivery.Destination == "old.example" {
				return schedule.Verdict{Uncounted: true, Move: map[int]string{0: "new.example"}}
			}
			return sent(w)
		}}})
		id := submit(t, store, simple("a", "old.example"))
		synctest.Wait()
		e := entry(t, store, id)
		if got := j.all(); e.Ended.IsZero() || !reflect.DeepEqual(got, []string{"old.example", "new.example"}) {
			t.Errorf("attempts at %v, entry %+v", got, e.Deliveries)
		}
	})
}

func TestUncountedDoesNotSpin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		var tries atomic.Int64
		run(t, schedule.Options{Store: store, Agent: &agent{deliver: func(context.Context, *queue.Work) schedule.Verdict {
			tries.Add(1)
			return schedule.Verdict{Uncounted: true}
		}}})
		id := submit(t, store, simple("a", "one.example"))
		time.Sleep(31 * time.Minute)
		if d := entry(t, store, id).Deliveries[0]; d.Attempts != 0 || tries.Load() != 7 {
			t.Errorf("tried %d times in 31 minutes, %+v; want every 5 minutes, uncounted", tries.Load(), d)
		}
	})
}

func TestUnreadableDeliveryIsPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t)
		defer store.Close()
		bad := &unreadable{Store: store}
		bad.failing.Store(true)
		run(t, schedule.Options{Store: bad, Agent: &agent{deliver: func(_ context.Context, w *queue.Work) schedule.Verdict { return sent(w) }}})
		id := submit(t, store, simple("a", "one.example"))
		time.Sleep(16 * time.Minute)
		if n := bad.loads.Load(); n != 4 {
			t.Errorf("loaded %d times in 16 minutes, want 4", n)
		}
		bad.failing.Store(false)
		time.Sleep(6 * time.Minute)
		if e := entry(t, store, id); e.Ended.IsZero() {
			t.Errorf("not delivered when it could be read: %+v", e.Deliveries)
		}
	})
}

// unreadable is a store whose deliveries cannot be read at times.
type unreadable struct {
	queue.Store
	failing atomic.Bool
	loads   atomic.Int64
}

func (s *unreadable) Load(ctx context.Context, l queue.Lease) (*queue.Work, error) {
	s.loads.Add(1)
	if s.failing.Load() {
		return nil, context.DeadlineExceeded
	}
	return s.Store.Load(ctx, l)
}
