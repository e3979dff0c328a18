package delivery_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/delivery"
	"postrider/delivery/local"
	"postrider/internal/aliases"
	"postrider/policy"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// users are mailboxes in memory, with what their owners' .forward files say.
type users struct {
	forward map[string]string
	fail    map[string]local.Outcome
	got     []string
}

func (u *users) Deliver(_ context.Context, e local.Envelope, _ func() (io.ReadCloser, error)) local.Outcome {
	if text, ok := u.forward[e.Target.Value]; ok && e.Target.Kind == queue.TargetUser {
		return local.Outcome{Result: queue.Expanded, Status: "2.0.0", Text: "has a .forward", Forward: text}
	}
	if o, ok := u.fail[e.Target.Value]; ok {
		return o
	}
	what := e.Target.Value
	if e.Target.Kind == queue.TargetCommand || e.Target.Kind == queue.TargetFile {
		what += " as " + e.Target.User
	}
	u.got = append(u.got, what+" from "+e.From.String())
	return local.Outcome{Result: queue.Delivered, Status: "2.0.0", Text: "delivered"}
}

func (u *users) Forward(_ context.Context, user string) local.Outcome {
	if text, ok := u.forward[user]; ok {
		return local.Outcome{Result: queue.Expanded, Status: "2.0.0", Text: "has a .forward", Forward: text}
	}
	return local.Outcome{Result: queue.Pending}
}

// run takes a message to its end, as the scheduler does, for as long as something
// is due for this host, and tells who got it, who failed and what waits for others.
func run(t *testing.T, u *users, aliasFile string, to ...string) (got, failed, waiting []string) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "aliases")
	if err := os.WriteFile(path, []byte(aliasFile), 0o644); err != nil {
		t.Fatal(err)
	}
	store, err := boltstore.Open(filepath.Join(dir, "queue.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	routes := policy.NewRoutes(policy.Options{LocalDomains: []string{"here.test"}})
	agent := delivery.New(delivery.Options{Messages: store, Router: routes, Mailboxes: u, Hostname: "here.test",
		Expander: &aliases.Expander{
			Table: aliases.NewFiles([]string{path}).Table, IsLocal: routes.IsLocal, Origin: "here.test", Delimiter: "+",
			LookupUser: func(name string) (*aliases.User, error) {
				if !slices.Contains([]string{"alice", "bob", "carol", "root"}, name) {
					return nil, nil
				}
				return &aliases.User{Name: name, UID: 1000, Home: "/home/" + name}, nil
			},
			Include: func(_ context.Context, _, path string) (string, *aliases.Refusal) { return aliases.ReadInclude(path) },
		}})
	id := accept(t, store, to)
	for range 50 {
		if !attempt(t, store, agent) {
			break
		}
	}
	entry, err := store.Get(t.Context(), id)
	if err != nil {
		if entry, err = store.Retired(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range entry.Deliveries {
		for _, r := range d.Recipients {
			rcpt := entry.Message.Recipients[r.Index]
			switch {
			case r.Result == queue.Failed:
				failed = append(failed, rcpt.Address.String()+" "+r.Status)
			case !r.Result.Ended():
				waiting = append(waiting, rcpt.Address.String()+" from "+entry.Message.ReversePathOf(r.Index).String())
			}
		}
	}
	for _, l := range [][]string{u.got, failed, waiting} {
		slices.Sort(l)
	}
	return u.got, failed, waiting
}

func accept(t *testing.T, store queue.Store, to []string) queue.ID {
	t.Helper()
	d, err := store.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, text); err != nil {
		t.Fatal(err)
	}
	m := &queue.Message{Envelope: queue.Envelope{ReversePath: addr("s@far.test")}, Arrival: time.Now(), Expires: time.Now().Add(time.Hour)}
	var destinations []string
	for _, a := range to {
		m.Recipients = append(m.Recipients, queue.Recipient{Address: addr(a)})
		destination := policy.LocalDestination
		if !strings.HasSuffix(a, "@here.test") {
			destination = addr(a).Domain
		}
		destinations = append(destinations, destination)
	}
	id, err := d.Commit(t.Context(), m, destinations)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// attempt makes what is due for this host; it tells whether anything was.
func attempt(t *testing.T, store queue.Store, agent *delivery.Agent) bool {
	t.Helper()
	now := time.Now()
	var leases []queue.Lease
	for _, here := range []string{policy.LocalDestination, policy.CommandPrefix, policy.CommandPrefix + "alice", policy.CommandPrefix + "bob"} {
		some, err := store.Claim(t.Context(), queue.Claim{Destination: here, Owner: "test", Now: now, Until: now.Add(time.Minute), Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		leases = append(leases, some...)
	}
	for _, l := range leases {
		w, err := store.Load(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		v := agent.Deliver(t.Context(), w)
		for i := range v.Attempt.Outcomes {
			v.Attempt.Outcomes[i].Owed = v.Attempt.Outcomes[i].Result == queue.Failed
		}
		r := queue.Record{Now: time.Now(), Attempt: v.Attempt, Next: now.Add(time.Hour), Uncounted: v.Uncounted, Move: v.Move, Added: v.Added}
		if err := store.Record(t.Context(), l, r); err != nil {
			t.Fatal(err)
		}
	}
	return len(leases) > 0
}

func TestExpansion(t *testing.T) {
	const from = " from s@far.test"
	tests := []struct {
		name    string
		aliases string
		forward map[string]string
		to      string
		got     string
		failed  string
		waiting string
	}{
		{"a user", "", nil, "bob", "bob" + from, "", ""},
		{"a list", "list: alice, bob", nil, "list", "alice" + from + ", bob" + from, "", ""},
		{"listed and named", "list: alice, bob", nil, "bob list", "alice" + from + ", bob" + from, "", ""},
		{"two lists", "l1: alice, bob\nl2: bob, alice, l1", nil, "l1 l2", "alice" + from + ", bob" + from, "", ""},
		{"unknown members fail alone", "list: alice, nobody", nil, "list", "alice" + from, "nobody@here.test 5.1.1", ""},
		{"forward", "", map[string]string{"alice": "bob"}, "alice", "bob" + from, "", ""},
		{"forward with a copy", "", map[string]string{"alice": `\alice, bob`}, "alice", "alice" + from + ", bob" + from, "", ""},
		{"forward behind a list", "list: alice, bob", map[string]string{"alice": "bob"}, "list", "bob" + from, "", ""},
		{"named, and forwarded to behind a list", "list: alice", map[string]string{"alice": "bob"}, "bob list", "bob" + from, "", ""},
		{"forwarded to behind two lists", "l1: alice\nl2: l1, carol", map[string]string{"alice": "bob", "carol": `bob, \carol`}, "l1 l2 bob", "bob" + from + ", carol" + from, "", ""},
		{"backslash passes forward by", `m: \alice`, map[string]string{"alice": "bob"}, "m", "alice" + from, "", ""},
		{"both ways to one mailbox", `m: \alice, alice`, nil, "m", "alice" + from, "", ""},
		{"backslash and the user who forwards", `m: \alice`, map[string]string{"alice": "bob"}, "m alice", "alice" + from + ", bob" + from, "", ""},
		{"forward circle", "", map[string]string{"alice": "bob", "bob": "alice"}, "alice", "", "alice@here.test 5.4.6", ""},
		{"forward elsewhere", "", map[string]string{"alice": "a@far.test"}, "alice", "", "", "a@far.test" + from},
		{"elsewhere twice", "list: a@far.test, alice", map[string]string{"alice": "a@FAR.test"}, "list", "", "", "a@far.test" + from},
		{"elsewhere and named", "", map[string]string{"alice": "a@far.test"}, "alice a@far.test", "", "", "a@far.test" + from},
		{"owner", "list: alice, a@far.test\nowner-list: carol", nil, "list", "alice from owner-list@here.test", "", "a@far.test from owner-list@here.test"},
		{"owner holds beyond a forward", "list: alice\nowner-list: carol", map[string]string{"alice": "a@far.test"}, "list", "", "", "a@far.test from owner-list@here.test"},
		{"command of an alias", `c: "|/bin/x y"`, nil, "c", "/bin/x y as " + from, "", ""},
		{"command of a user", "", map[string]string{"alice": "|/bin/x"}, "alice", "/bin/x as alice" + from, "", ""},
		{"the same command for two users", "", map[string]string{"alice": "|/bin/x", "bob": "|/bin/x"}, "alice bob", "/bin/x as alice" + from + ", /bin/x as bob" + from, "", ""},
		{"alias circle", "c1: c2\nc2: c1", nil, "c1", "", "c1@here.test 5.4.6", ""},
		{"unknown", "", nil, "nobody", "", "nobody@here.test 5.1.1", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			u := &users{forward: tt.forward}
			var to []string
			for a := range strings.FieldsSeq(tt.to) {
				if !strings.Contains(a, "@") {
					a += "@here.test"
				}
				to = append(to, a)
			}
			got, failed, waiting := run(t, u, tt.aliases, to...)
			if g, f, w := strings.Join(got, ", "), strings.Join(failed, ", "), strings.Join(waiting, ", "); g != tt.got || f != tt.failed || w != tt.waiting {
				t.Errorf("got %q, failed %q, waiting %q; want %q, %q, %q", g, f, w, tt.got, tt.failed, tt.waiting)
			}
		})
	}
}

// TestNobodyIsForgotten: users who forward to each other, each in turn named by the
// sender, get a copy or the sender a report, whatever the order.
func TestNobodyIsForgotten(t *testing.T) {
	for _, to := range [][]string{{"alice@here.test", "bob@here.test"}, {"bob@here.test", "alice@here.test"}} {
		u := &users{forward: map[string]string{"alice": "bob", "bob": "alice"}}
		got, failed, _ := run(t, u, "", to...)
		if len(got)+len(failed) == 0 {
			t.Errorf("%v: nobody got it and nobody was told", to)
		}
	}
}

// TestTroubleStaysAlone: a member that has to wait neither holds up another nor
// gives it a second copy.
func TestTroubleStaysAlone(t *testing.T) {
	u := &users{fail: map[string]local.Outcome{"alice": {Result: queue.Temporary, Status: "4.2.2", Text: "full"}}}
	got, failed, waiting := run(t, u, "list: alice, bob", "list@here.test")
	if fmt.Sprint(got, failed, waiting) != "[bob from s@far.test] [] [alice@here.test from s@far.test]" {
		t.Errorf("got %v, failed %v, waiting %v", got, failed, waiting)
	}
}

// TestListOfTenThousand is expanded in one step into recipients of one message.
func TestListOfTenThousand(t *testing.T) {
	var list strings.Builder
	list.WriteString("list: x0@far.test")
	for i := 1; i < 10_000; i++ {
		fmt.Fprintf(&list, ",\n x%d@far.test", i)
	}
	_, failed, waiting := run(t, &users{}, list.String(), "list@here.test")
	if len(waiting) != 10_000 || len(failed) != 0 {
		t.Errorf("%d wait, %d failed", len(waiting), len(failed))
	}
}
