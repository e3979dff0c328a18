package control_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/control"
	"postrider/queue"
)

// mayNotSteer asks for everything that is for administrators.
func mayNotSteer(t *testing.T, c *control.Client, ids ...string) {
	t.Helper()
	var parsed []queue.ID
	for _, s := range ids {
		id, err := queue.ParseID(s)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, id)
	}
	for _, v := range []control.Verb{control.Hold, control.Release, control.Bounce} {
		for _, ids := range [][]queue.ID{nil, parsed} {
			if _, err := c.Act(t.Context(), control.Order{Verb: v, IDs: ids}); !errors.Is(err, fs.ErrPermission) {
				t.Errorf("%s: %v", v, err)
			}
		}
	}
	for _, until := range []time.Time{{}, time.Now().Add(time.Hour)} {
		if _, err := c.Suspend(t.Context(), control.Suspension{Destinations: []string{"y.example"}, Until: until}); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("suspend until %v: %v", until, err)
		}
	}
	if _, err := c.Stats(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("stats: %v", err)
	}
	if _, err := c.Flush(t.Context(), queue.Filter{}, true); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("flush --force: %v", err)
	}
	if out, err := c.Flush(t.Context(), queue.Filter{}, false); err != nil || !reflect.DeepEqual(out, control.Flushed{Matched: -1}) {
		t.Errorf("flush: %+v, %v", out, err)
	}
}

func states(t *testing.T, s queue.Store, ids ...queue.ID) string {
	t.Helper()
	var all []string
	for _, id := range ids {
		e, err := s.Get(t.Context(), id)
		if errors.Is(err, queue.ErrNotFound) {
			all = append(all, "gone")
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e.Deliveries[0].State.String())
	}
	return strings.Join(all, " ")
}

func TestActs(t *testing.T) {
	s := openStore(t)
	ids := []queue.ID{put(t, s, 1, "a@x.example", "b@one.example"), put(t, s, 1, "a@x.example", "b@two.example"), put(t, s, 1, "", "b@two.example")}
	var kicked []string
	c := dial(t, serve(t, &control.Local{Store: s, Kick: func(d ...string) { kicked = append(kicked, d...) }}))
	for _, step := range []struct {
		order  control.Order
		want   int
		states string
	}{
		{control.Order{Verb: control.Hold}, 0, "queued queued queued"}, // no IDs: nothing
		{control.Order{Verb: control.Hold, IDs: ids, Filter: queue.Filter{Domain: "two.example"}, Text: "odd"}, 2, "queued held held"},
		{control.Order{Verb: control.Hold, IDs: ids[1:], Text: "odd"}, 0, "queued held held"}, // they are
		{control.Order{Verb: control.Release, IDs: ids[2:]}, 1, "queued held queued"},
		{control.Order{Verb: control.Bounce, IDs: ids[:2], Text: "no longer here"}, 2, "done done queued"},
		{control.Order{Verb: control.Bounce, IDs: ids[:2]}, 0, "done done queued"},
		{control.Order{Verb: control.Delete, IDs: append([]queue.ID{4711}, ids...)}, 3, "gone gone gone"},
	} {
		n, err := c.Act(t.Context(), step.order)
		if got := states(t, s, ids...); err != nil || n.Messages != step.want || got != step.states {
			t.Fatalf("%+v: %+v, %v, %s; want %d, %s", step.order, n, err, got, step.want, step.states)
		}
		if step.order.Text == "odd" && step.want > 0 {
			if e, err := s.Get(t.Context(), ids[1]); err != nil || e.HoldReason != "odd" {
				t.Errorf("reason of the hold: %+v, %v", e, err)
			}
		}
	}
	if !slices.Equal(kicked, []string{"two.example"}) {
		t.Errorf("kicked %q", kicked)
	}
}

// TestBounceOwesReports: who is told is as for any failure.
func TestBounceOwesReports(t *testing.T) {
	s := openStore(t)
	c := dial(t, serve(t, &control.Local{Store: s}))
	for name, tt := range map[string]struct {
		kind   queue.Kind
		notify queue.Notify
		owed   bool
	}{
		"nothing said":    {queue.Ordinary, 0, true},
		"NEVER":           {queue.Ordinary, queue.NotifyNever, false},
		"DELAY":           {queue.Ordinary, queue.NotifyDelay, false},
		"FAILURE":         {queue.Ordinary, queue.NotifyFailure, true},
		"a report":        {queue.Report, queue.NotifyNever, true},
		"postmaster copy": {queue.PostmasterCopy, 0, false},
	} {
		d, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		id, err := d.Commit(t.Context(), &queue.Message{Kind: tt.kind, Arrival: arrival, Expires: arrival.Add(240 * time.Hour), Origin: queue.Origin{UID: 1},
			Envelope: queue.Envelope{ReversePath: parse("a@x.example")}, Recipients: []queue.Recipient{{Address: parse("b@y.example"), Notify: tt.notify}}}, []string{"y.example"})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.Act(t.Context(), control.Order{Verb: control.Bounce, IDs: []queue.ID{id}, Text: "moved away"}); err != nil || n.Messages != 1 {
			t.Fatalf("%s: %+v, %v", name, n, err)
		}
		shown, err := c.Show(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if r := shown.Recipients[0]; r.State != "failed" || r.LastReply != "moved away" || r.Status != "5.0.0" {
			t.Errorf("%s: %+v", name, r)
		}
		e, err := s.Get(t.Context(), id)
		if owed := err == nil && e.Deliveries[0].Recipients[0].Owed; owed != tt.owed {
			t.Errorf("%s: owed %v, want %v (%v)", name, owed, tt.owed, err)
		}
		due, err := s.Agenda(t.Context(), time.Now(), 100)
		if on := slices.ContainsFunc(due, func(i queue.AgendaItem) bool { return i.ID == id }); err != nil || on != tt.owed {
			t.Errorf("%s: on the agenda %v, want %v (%v)", name, on, tt.owed, err)
		}
	}
}

func TestBounceLeavesWhatIsUnderWay(t *testing.T) {
	s := openStore(t)
	id := put(t, s, 1, "a@x.example", "b@one.example", "b@two.example")
	now := time.Now()
	if ls, err := s.Claim(t.Context(), queue.Claim{Destination: "one.example", Owner: "test", Now: now, Until: now.Add(time.Hour), Max: 1}); err != nil || len(ls) != 1 {
		t.Fatal(ls, err)
	}
	n, err := (&control.Local{Store: s}).Act(t.Context(), control.Order{Verb: control.Bounce, IDs: []queue.ID{id}})
	if err != nil || n != (control.Count{Messages: 1, Busy: 1}) {
		t.Errorf("%+v, %v", n, err)
	}
	e, err := s.Get(t.Context(), id)
	if err != nil || e.Deliveries[0].State != queue.Active || e.Deliveries[1].State != queue.Done {
		t.Errorf("%+v, %v", e, err)
	}
	n, err = (&control.Local{Store: s}).Act(t.Context(), control.Order{Verb: control.Bounce, IDs: []queue.ID{id}})
	if err != nil || n != (control.Count{Busy: 1}) {
		t.Errorf("when all that is left is under way: %+v, %v", n, err)
	}
}

func TestTextsAreChecked(t *testing.T) {
	s := openStore(t)
	id := put(t, s, 1, "a@x.example", "b@one.example")
	c := dial(t, serve(t, &control.Local{Store: s}))
	for _, text := range []string{"two\nlines", "\x1b[2J", "\u009b", strings.Repeat("x", 501)} {
		if _, err := c.Act(t.Context(), control.Order{Verb: control.Hold, IDs: []queue.ID{id}, Text: text}); err == nil || !strings.Contains(err.Error(), "one line") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := c.Act(t.Context(), control.Order{Verb: "eat", IDs: []queue.ID{id}}); err == nil {
		t.Error("an unknown verb was taken")
	}
	if got := states(t, s, id); got != "queued" {
		t.Error(got)
	}
}

func TestSuspendFlushResume(t *testing.T) {
	s := openStore(t)
	put(t, s, 1, "a@x.example", "b@one.example")
	put(t, s, 1, "a@x.example", "b@two.example")
	var kicked []string
	c := dial(t, serve(t, &control.Local{Store: s, Kick: func(d ...string) { kicked = append(kicked, d...) }}))
	until := time.Now().Add(time.Hour)
	out, err := c.Suspend(t.Context(), control.Suspension{Destinations: []string{"ONE.example", "none.example"}, Until: until, Reason: "migration"})
	if err != nil || !reflect.DeepEqual(out, control.Suspended{Done: []string{"one.example"}, Unknown: []string{"none.example"}}) {
		t.Fatalf("%+v, %v", out, err)
	}
	if err := s.Suspend(t.Context(), "two.example", until, "dead", 2); err != nil {
		t.Fatal(err)
	}
	byHand := func() (all []string) {
		sums, err := s.Destinations(t.Context(), "", 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range sums {
			if d.Suspended.After(time.Now()) {
				all = append(all, d.Name)
			}
		}
		return all
	}
	flushed, err := c.Flush(t.Context(), queue.Filter{}, false)
	if err != nil || !slices.Equal(flushed.Suspended, []string{"one.example"}) || !slices.Equal(byHand(), []string{"one.example"}) {
		t.Errorf("flush: %+v, %v, left %q", flushed, err, byHand())
	}
	flushed, err = c.Flush(t.Context(), queue.Filter{Domain: "two.example"}, true)
	if err != nil || len(flushed.Suspended) != 0 || !slices.Equal(byHand(), []string{"one.example"}) {
		t.Errorf("flush of the other: %+v, %v, left %q", flushed, err, byHand())
	}
	flushed, err = c.Flush(t.Context(), queue.Filter{}, true)
	if err != nil || len(flushed.Suspended) != 0 || byHand() != nil {
		t.Errorf("flush --force: %+v, %v, left %q", flushed, err, byHand())
	}
	for _, all := range []control.Suspension{{All: true}, {Destinations: []string{"one.example", "two.example"}}} {
		if _, err := c.Suspend(t.Context(), control.Suspension{Destinations: []string{"one.example", "two.example"}, Until: control.Forever()}); err != nil || len(byHand()) != 2 {
			t.Fatal(err, byHand())
		}
		kicked = nil
		out, err := c.Suspend(t.Context(), all)
		if want := []string{"one.example", "two.example"}; err != nil || !slices.Equal(out.Done, want) || byHand() != nil || !slices.Equal(kicked, want) {
			t.Errorf("resume %+v: %+v, %v, left %q, kicked %q", all, out, err, byHand(), kicked)
		}
	}
}

func TestStats(t *testing.T) {
	s := openStore(t)
	now := time.Now()
	add := func(age time.Duration, from string, to ...string) queue.ID {
		d, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m := &queue.Message{Envelope: queue.Envelope{ReversePath: parse(from)}, Arrival: now.Add(-age), Expires: now.Add(240 * time.Hour), Origin: queue.Origin{UID: 1}}
		var at []string
		for _, rcpt := range to {
			m.Recipients = append(m.Recipients, queue.Recipient{Address: parse(rcpt)})
			at = append(at, parse(rcpt).Domain)
		}
		id, err := d.Commit(t.Context(), m, at)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	add(100*time.Hour, "a@x.example", "b@one.example", "c@two.example")
	held := add(30*time.Hour, "a@x.example", "b@one.example")
	add(90*time.Minute, "a@x.example", "b@one.example")
	deferFor(t, s, "one.example", "451 4.7.1 \x1b[2J later")
	add(6*time.Minute, "n\x1b@x.example", "b@two.example")
	add(time.Second, "", "b@one.example")
	if _, err := s.Hold(t.Context(), "", held); err != nil {
		t.Fatal(err)
	}
	if err := s.Suspend(t.Context(), "two.example", now.Add(time.Hour), "migration", queue.ByHand); err != nil {
		t.Fatal(err)
	}
	got, err := dial(t, serve(t, &control.Local{Store: s})).Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	until := got.Destinations[1].Suspended
	want := &control.Stats{
		Messages: 5, Deliveries: 6, Ages: []string{"5m", "10m", "20m", "40m", "80m", "160m", "320m", "640m", "1280m", "1280m+"},
		Destinations: []control.DestinationStats{
			{Destination: "one.example", Total: 4, Held: 1, Ages: []int{1, 0, 0, 0, 0, 1, 0, 0, 0, 1}},
			{Destination: "two.example", Total: 2, Ages: []int{0, 1, 0, 0, 0, 0, 0, 0, 0, 1}, Suspended: until, ByHand: true, Reason: "migration"},
		},
		Senders: []control.SenderStats{{"a@x.example", 3}, {"", 1}, {"\"n\x1b\"@x.example", 1}},
		Reasons: []control.ReasonStats{{"451 4.7.1 \x1b[2J later", 2}},
		Tried:   2, Sampled: 2,
	}
	if until == nil || !until.Equal(now.Add(time.Hour)) || !reflect.DeepEqual(got, want) {
		g, _ := json.Marshal(got)
		w, _ := json.Marshal(want)
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
	var text bytes.Buffer
	if err := control.WriteStats(&text, got); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"one.example                   4     1     1     -     -     -     -     1     -     -     -     1\n",
		"TOTAL                         6     1     1     1     -     -     -     1     -     -     -     2\n",
		", by an administrator: migration\n", "      3  <a@x.example>\n", "      2  451 4.7.1 ?[2J later\n",
	} {
		if !strings.Contains(text.String(), line) {
			t.Errorf("no %q in\n%s", line, text.String())
		}
	}
	if strings.Contains(text.String(), "\x1b") {
		t.Errorf("not safe: %q", text.String())
	}
}
