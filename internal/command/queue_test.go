package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/queue"
	"postrider/queue/boltstore"
)

func (h host) db() string { return filepath.Join(h.dir, "spool", "queue.db") }

// open opens the spool, which may be new.
func (h host) open(t *testing.T) queue.Store {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(h.db()), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(h.db(), boltstore.Options{Ballast: -1, FreeFloor: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// put queues a message whose sender wants no reports.
func put(t *testing.T, s queue.Store, age time.Duration, from, to string) queue.ID {
	t.Helper()
	parse := func(s string) address.Address {
		local, domain, _ := strings.Cut(s, "@")
		return address.Address{Local: local, Domain: domain}
	}
	d, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, "Subject: x\n\nhello\n"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	id, err := d.Commit(t.Context(), &queue.Message{Origin: queue.Origin{UID: 1}, Arrival: now.Add(-age), Expires: now.Add(240 * time.Hour),
		Envelope:   queue.Envelope{ReversePath: parse(from)},
		Recipients: []queue.Recipient{{Address: parse(to), Notify: queue.NotifyNever}}}, []string{parse(to).Domain})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// putText queues a message with a text.
func putText(t *testing.T, s queue.Store, text string) queue.ID {
	t.Helper()
	d, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, text); err != nil {
		t.Fatal(err)
	}
	id, err := d.Commit(t.Context(), &queue.Message{Origin: queue.Origin{UID: 1}, Arrival: time.Now(), Expires: time.Now().Add(time.Hour),
		Recipients: []queue.Recipient{{Address: address.Address{Local: "x", Domain: "two.test"}}}}, []string{"two.test"})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// listed gives the IDs of a listing.
func (h host) listed(t *testing.T, args ...string) []string {
	t.Helper()
	code, out, errs := h.run("", append([]string{"queue", "list", "--json"}, args...)...)
	if code != 0 {
		t.Fatalf("list %q: exit %d, %s", args, code, errs)
	}
	var ids []string
	for line := range strings.Lines(out) {
		var item struct{ ID string }
		if err := json.Unmarshal([]byte(line), &item); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, item.ID)
	}
	return ids
}

// TestFiltersHoldTogether is the truth table of the filters: every set of them, for
// every verb, on messages of every kind.
func TestFiltersHoldTogether(t *testing.T) {
	h := newHost(t, "")
	s := h.open(t)
	type kind struct {
		from, to string
		held     bool
		age      time.Duration
	}
	kinds := map[string]kind{}
	var all, held []string
	for _, from := range []string{"a@one.test", "b@one.test"} {
		for _, to := range []string{"x@two.test", "y@TWO.test", "x@three.test"} {
			for _, onHold := range []bool{false, true} {
				for _, age := range []time.Duration{3 * time.Hour, time.Hour, time.Minute} {
					id := put(t, s, age, from, to)
					kinds[id.String()] = kind{from, to, onHold, age}
					all = append(all, id.String())
					if onHold {
						held = append(held, id.String())
						if _, err := s.Hold(t.Context(), "", id); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	spool, err := os.ReadFile(h.db())
	if err != nil {
		t.Fatal(err)
	}
	filters := []struct {
		args  []string
		match func(kind) bool
	}{
		{[]string{"--sender", "a@ONE.test"}, func(k kind) bool { return k.from == "a@one.test" }},
		{[]string{"--recipient", "X@two.test"}, func(k kind) bool { return k.to == "x@two.test" }},
		{[]string{"--domain", "two.Test"}, func(k kind) bool { return k.to != "x@three.test" }},
		{[]string{"--state", "held"}, func(k kind) bool { return k.held }},
		{[]string{"--older", "30m"}, func(k kind) bool { return k.age > 30*time.Minute }},
		{[]string{"--newer", "2h"}, func(k kind) bool { return k.age < 2*time.Hour }},
		{nil, nil}, // IDs: every other message
	}
	minus := func(a, b []string) []string {
		return slices.DeleteFunc(slices.Clone(a), func(id string) bool { return slices.Contains(b, id) })
	}
	for set := range 1 << len(filters) {
		var args, want []string
		for i, f := range filters {
			if set>>i&1 == 0 {
				continue
			}
			args = append(args, f.args...)
			if f.args == nil {
				for i := 0; i < len(all); i += 2 {
					args = append(args, all[i])
				}
			}
		}
		for at, id := range all {
			in := true
			for i, f := range filters {
				in = in && (set>>i&1 == 0 || f.match == nil && at%2 == 0 || f.match != nil && f.match(kinds[id]))
			}
			if in {
				want = append(want, id)
			}
		}
		if got := h.listed(t, args...); !slices.Equal(got, want) {
			t.Fatalf("list %q: %q, want %q", args, got, want)
		}
		// Each set with one verb, in turn, and the full and empty ones with all.
		verbs := []string{"hold", "release", "bounce", "delete"}
		if set != 0 && set != 1<<len(filters)-1 {
			verbs = verbs[set%4 : set%4+1]
		}
		for _, verb := range verbs {
			code, _, errs := h.run("", append([]string{"queue", verb, "--yes", "--all"}, args...)...)
			if says := errs == "no message matches\n"; code != 0 || says != (len(want) == 0) {
				t.Fatalf("%s %q: exit %d, %q", verb, args, code, errs)
			}
			left, onHold := all, held
			switch verb {
			case "hold":
				onHold = append(slices.Clone(held), minus(want, held)...)
				slices.Sort(onHold)
			case "release":
				onHold = minus(held, want)
			default:
				left, onHold = minus(all, want), minus(held, want)
			}
			if got := h.listed(t); !slices.Equal(got, left) {
				t.Fatalf("after %s %q: %q, want %q", verb, args, got, left)
			}
			if got := h.listed(t, "--state", "held"); !slices.Equal(got, onHold) {
				t.Fatalf("after %s %q: held %q, want %q", verb, args, got, onHold)
			}
			if err := os.WriteFile(h.db(), spool, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestVerbs has what verbs say, and their exit status.
func TestVerbs(t *testing.T) {
	h := newHost(t, "")
	s := h.open(t)
	var ids []string
	for range 21 {
		ids = append(ids, put(t, s, time.Hour, "a@one.test", "x@two.test").String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	const here = " (in the spool itself: no daemon is running)\n"
	for _, tt := range []struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		{"", []string{"hold"}, 64, "postrider: say which messages: queue ids, filters, or --all\n"},
		{"", []string{"hold", "--all"}, 64, "postrider: hold would concern 21 messages; nothing was done: add --yes if that is meant\n"},
		{"y\n", []string{"hold", "--all"}, 64, "postrider: hold would concern 21 messages; nothing was done: add --yes if that is meant\n"},
		{"", []string{"hold", "--all", "--state", "held"}, 0, "no message matches\n"},
		{"", append([]string{"hold", "--reason", "odd"}, ids[:20]...), 0, "held: 20 messages" + here},
		{"", []string{"hold", "--all", "--yes"}, 0, "held: 1 message" + here},
		{"", []string{"hold", ids[0], "000000000001"}, 65, "held: 0 messages" + here + "postrider: no such message in the queue: 000000000001\n"},
		{"", []string{"release", "000000000002", "000000000001"}, 65, "postrider: no such message in the queue: 000000000001, 000000000002\n"},
		{strings.Join(ids, "\n"), []string{"release", "-"}, 64, "postrider: release would concern 21 messages; nothing was done: add --yes if that is meant\n"},
		{strings.Join(ids, "*\n"), []string{"release", "-", "-y"}, 0, "released: 21 messages" + here},
		{"", []string{"bounce", ids[0], "--text", "a\nb"}, 64, "postrider: the text must be one line of at most 500 bytes, without control characters\n"},
		{"", []string{"bounce", ids[0], "--text", "gone away"}, 0, "returned to sender: 1 message" + here},
		{"", []string{"delete", ids[0]}, 65, "postrider: no such message in the queue: " + ids[0] + "\n"},
		{"", []string{"delete", ids[1], ids[1]}, 0, "deleted: 1 message" + here},
		{"", []string{"list", "--json", ids[1]}, 65, "postrider: no such message in the queue: " + ids[1] + "\n"},
		{"", []string{"suspend"}, 64, "postrider: requires at least 1 arg(s), only received 0\n"},
		{"", []string{"suspend", "two.test", "--for", "2h", "--reason", "moving"}, 0, "suspended: 1 destination" + here},
		{"", []string{"suspend", "none.test"}, 65, "suspended: 0 destinations" + here + "postrider: no mail waits for none.test; \"postrider queue stats\" names the destinations\n"},
		{"", []string{"resume"}, 64, "postrider: say which destinations to resume, or --all\n"},
		{"", []string{"resume", "--all", "two.test"}, 64, "postrider: say which destinations to resume, or --all\n"},
		{"", []string{"resume", "--all"}, 0, "resumed: 1 destination" + here},
		{"", []string{"resume", "--all"}, 0, "resumed: 0 destinations" + here},
	} {
		code, _, errs := h.run(tt.stdin, append([]string{"queue"}, tt.args...)...)
		if code != tt.code || errs != tt.says {
			t.Errorf("%q: exit %d, %q; want %d, %q", tt.args, code, errs, tt.code, tt.says)
		}
	}
	if code, out, _ := h.run("", "queue", "list", "--sender", "<>"); code != 0 || out != "No message matches.\n" {
		t.Errorf("a listing of nothing: exit %d, %q", code, out)
	}
	code, out, _ := h.run("", "queue", "stats", "--json")
	var stats control.Stats
	if err := json.Unmarshal([]byte(out), &stats); code != 0 || err != nil || stats.Messages != 19 || len(stats.Destinations) != 1 || stats.Destinations[0].Total != 19 {
		t.Errorf("stats: exit %d, %v, %s", code, err, out)
	}
	if code, out, _ := h.run("", "queue", "stats"); code != 0 || !strings.Contains(out, "two.test                     19") {
		t.Errorf("stats: exit %d, %s", code, out)
	}
}

// TestManyIDs names ten thousand messages on standard input, most of them unknown.
func TestManyIDs(t *testing.T) {
	h := newHost(t, "")
	s := h.open(t)
	var words []string
	for range 30 {
		words = append(words, put(t, s, time.Hour, "a@one.test", "x@two.test").String())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for i := 1; len(words) < 10_000; i++ {
		words = append(words, queue.ID(i).String())
	}
	code, _, errs := h.run(strings.Join(words, "\n"), "queue", "delete", "-", "--yes")
	if code != 65 || !strings.HasPrefix(errs, "deleted: 30 messages") || !strings.Contains(errs, "000000000001, ") || !strings.HasSuffix(errs, " and 9960 more\n") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

// serve offers the spool on the control socket as a daemon does. tries is called
// with destinations whose mail is to be tried.
func (h host) serve(t *testing.T, s queue.Store, tries func(destinations ...string)) {
	t.Helper()
	path := filepath.Join(h.dir, "run", "control.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- control.NewServer(&control.Local{Store: s, Kick: tries}, slog.New(slog.DiscardHandler)).Serve(ctx, l)
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestFlushWaits tells each outcome, whether the message stays or goes.
func TestFlushWaits(t *testing.T) {
	for name, tt := range map[string]struct {
		results []queue.Result
		code    int
	}{
		"delivered": {[]queue.Result{queue.Relayed, queue.Relayed}, 0},
		"deferred":  {[]queue.Result{queue.Relayed, queue.Temporary}, 75},
		"failed":    {[]queue.Result{queue.Failed, queue.Temporary}, 69},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			s := h.open(t)
			var ids []queue.ID
			for i := range tt.results {
				ids = append(ids, put(t, s, time.Hour, "a@one.test", fmt.Sprintf("x@d%d.test", i)))
			}
			held, suspended := put(t, s, time.Hour, "a@one.test", "x@held.test"), put(t, s, time.Hour, "a@one.test", "x@suspended.test")
			if _, err := s.Hold(t.Context(), "", held); err != nil {
				t.Fatal(err)
			}
			if err := s.Suspend(t.Context(), "suspended.test", time.Now().Add(time.Hour), "moving", queue.ByHand); err != nil {
				t.Fatal(err)
			}
			tries := make(chan []string, 10)
			tried := make(chan error, 1)
			go func() { tried <- try(s, <-tries, tt.results) }()
			h.serve(t, s, func(d ...string) { tries <- d })
			code, out, errs := h.run("", "queue", "flush", "--wait")
			if err := <-tried; err != nil {
				t.Fatal(err)
			}
			if code != tt.code || strings.Count(out, "\n") != len(ids) {
				t.Errorf("exit %d (want %d), %q, %q", code, tt.code, out, errs)
			}
			if !strings.HasPrefix(errs, "suspended, and not tried: suspended.test; --force ends that\n") {
				t.Errorf("%q", errs)
			}
			for i, id := range ids {
				if line := fmt.Sprintf("%s  <x@d%d.test>: %s 4?[ said d%d.test\n", id, i, tt.results[i], i); !strings.Contains(out, line) {
					t.Errorf("no %q in %q", line, out)
				}
			}
			if got, err := s.Get(t.Context(), suspended); err != nil || got.Deliveries[0].Attempts != 0 {
				t.Errorf("suspended: %+v, %v", got, err)
			}
		})
	}
}

// try records an outcome for the mail of each destination d0.test and so on.
func try(s queue.Store, destinations []string, results []queue.Result) error {
	now := time.Now()
	for i, result := range results {
		name := fmt.Sprintf("d%d.test", i)
		if !slices.Contains(destinations, name) {
			return fmt.Errorf("%s was not kicked: %q", name, destinations)
		}
		leases, err := s.Claim(context.Background(), queue.Claim{Destination: name, Owner: "test", Now: now, Until: now.Add(time.Hour), Max: 1})
		if err != nil || len(leases) != 1 {
			return fmt.Errorf("%d leases of %s, %w", len(leases), name, err)
		}
		out := []queue.Outcome{{Result: result, Status: "4.0.0", Reply: "4\x1b[ said " + name}}
		if err := s.Record(context.Background(), leases[0], queue.Record{Now: now, Next: now.Add(time.Hour), Attempt: queue.Attempt{Started: now, Outcomes: out}}); err != nil {
			return err
		}
	}
	return nil
}

// TestVerbsAskTheDaemon: with a daemon nothing is said of the spool.
func TestVerbsAskTheDaemon(t *testing.T) {
	h := newHost(t, "")
	s := h.open(t)
	for range 1200 {
		put(t, s, time.Hour, "a@one.test", "x@two.test")
	}
	h.serve(t, s, nil)
	if code, _, errs := h.run("", "queue", "hold", "--domain", "two.test", "-y"); code != 0 || errs != "held: 1200 messages\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, _, errs := h.run("", "queue", "flush", "--domain", "none.test"); code != 0 || errs != "no message matches\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, _, errs := h.run("", "queue", "bounce", "--all", "-y"); code != 0 || errs != "returned to sender: 1200 messages\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
}
