package control_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/queue"
)

// expand replaces b@y.example by a user elsewhere, who is deferred, a file, a command
// that is yet to run and one that has failed.
func expand(t *testing.T, s queue.Store, id queue.ID, destination string) {
	t.Helper()
	now := time.Now()
	leases, err := s.Claim(t.Context(), queue.Claim{Destination: destination, Owner: "test", Now: now, Until: now.Add(time.Hour), Max: 100})
	if err != nil {
		t.Fatal(err)
	}
	list := parse("b@y.example")
	failed := queue.Outcome{Result: queue.Failed, Status: "5.1.1", Reply: "no user secret4"}
	added := []queue.Added{
		{Recipient: queue.Recipient{Address: parse("secret1@hidden.example")}, Destination: "hidden.example"},
		{Recipient: queue.Recipient{Address: list, Target: queue.Target{Kind: queue.TargetFile, Value: "/var/secret2", User: "own2"}}, Destination: "local:"},
		{Recipient: queue.Recipient{Address: list, Target: queue.Target{Kind: queue.TargetCommand, Value: "/bin/secret3 \x1b[2J", User: "own3"}}, Destination: "local:"},
		{Recipient: queue.Recipient{Address: parse("secret4@y.example"), Target: queue.Target{Kind: queue.TargetUser, Value: "secret4"}}, Destination: "local:", Outcome: &failed},
	}
	for i := range added {
		added[i].Recipient.Via = []address.Address{list, parse("secret-sublist@y.example")}
	}
	for _, l := range leases {
		if l.Key.Message != id {
			if err := s.Release(t.Context(), l); err != nil {
				t.Fatal(err)
			}
			continue
		}
		a := queue.Attempt{Started: now, Destination: destination, Outcomes: []queue.Outcome{{Result: queue.Expanded, Status: "2.0.0", Reply: "expanded to secret1 and others"}}}
		if err := s.Record(t.Context(), l, queue.Record{Now: now, Attempt: a, Added: added}); err != nil {
			t.Fatal(err)
		}
	}
	deferFor(t, s, "hidden.example", "451 4.7.1 secret1 is busy")
}

func show(t *testing.T, q control.Queue, id queue.ID) (d *control.Details, text string) {
	t.Helper()
	d, err := q.Show(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := control.WriteDetails(&b, d); err != nil {
		t.Fatal(err)
	}
	return d, b.String()
}

// TestExpandedIsShown: an administrator sees what became of a recipient.
func TestExpandedIsShown(t *testing.T) {
	s := openStore(t)
	id := put(t, s, 1001, "alice@x.example", "b@y.example")
	expand(t, s, id, "y.example")
	c := dial(t, serve(t, &control.Local{Store: s}))

	var item control.Item
	if err := json.Unmarshal([]byte(list(t, c, queue.Filter{Recipient: "secret1@hidden.example"}, control.FormatJSON)), &item); err != nil {
		t.Fatal(err)
	}
	type seen struct {
		address, state string
		from           []string
		target         *control.ItemTarget
	}
	via := []string{"b@y.example", "secret-sublist@y.example"}
	want := []seen{
		{"b@y.example", "expanded", nil, nil},
		{"secret1@hidden.example", "deferred", via, nil},
		{"b@y.example", "queued", via, &control.ItemTarget{Kind: "file", Value: "/var/secret2", User: "own2"}},
		{"b@y.example", "queued", via, &control.ItemTarget{Kind: "command", Value: "/bin/secret3 \x1b[2J", User: "own3"}},
		{"secret4@y.example", "failed", via, &control.ItemTarget{Kind: "user", Value: "secret4"}},
	}
	var got []seen
	for _, r := range item.Recipients {
		got = append(got, seen{r.Address, r.State, r.ExpandedFrom, r.Target})
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}

	mailq := list(t, c, queue.Filter{}, control.FormatMailq)
	const indent = "\n                                         "
	if _, after, _ := strings.Cut(mailq, "alice@x.example"); !strings.HasPrefix(after, indent+"b@y.example"+indent+"b@y.example\n") ||
		!strings.Contains(after, "(451 4.7.1 secret1 is busy)"+indent+"secret1@hidden.example\n") || strings.Contains(after, "secret4") {
		t.Errorf("mailq:\n%s", mailq)
	}

	d, text := show(t, c, id)
	for _, w := range []string{
		"To <b@y.example>: expanded after 1 attempt\n  2.0.0 expanded to secret1 and others\n",
		"To <secret1@hidden.example>: deferred after 1 attempt", "  expanded from <b@y.example>, <secret-sublist@y.example>\n",
		"  goes to the file /var/secret2, on behalf of own2\n  waits for local:\n", "  goes to the command /bin/secret3 ?[2J, on behalf of own3\n",
		"  goes to the user secret4\n  5.1.1 no user secret4\n", "  <secret4@y.example> failed 5.1.1 no user secret4\n",
	} {
		if !strings.Contains(text, w) {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
	if len(d.Attempts) != 2 || len(d.Attempts[0].Outcomes) != 2 {
		t.Errorf("attempts %+v", d.Attempts)
	}
}

// askOfExpanded is run as the user who sent the message that was expanded.
func askOfExpanded(t *testing.T, c *control.Client, own string) {
	id, err := queue.ParseID(own)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []control.Format{control.FormatJSON, control.FormatMailq, control.FormatTable} {
		if got := list(t, c, queue.Filter{}, f); !strings.Contains(got, "b@y.example") || strings.Contains(got, "secret") || strings.Contains(got, "own") {
			t.Errorf("%s shows\n%s", f, got)
		}
	}
	d, text := show(t, c, id)
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text+string(raw), "secret") || strings.Contains(text, "hidden.example") {
		t.Errorf("show: %s\n%s", text, raw)
	}
	// It waits: some of it is queued, and nothing is known of the rest.
	if len(d.Recipients) != 1 || d.Recipients[0].State != "queued" || d.Recipients[0].NextAttempt == nil || d.State != "queued" || len(d.Attempts) != 1 {
		t.Errorf("show: %s", raw)
	}
	ended, err := queue.ParseID(os.Getenv("CONTROL_TEST_ENDED"))
	if err != nil {
		t.Fatal(err)
	}
	if d, text := show(t, c, ended); d.State != "done" || len(d.Recipients) != 1 || d.Recipients[0].State != "expanded" || strings.Contains(text, "secret") {
		t.Errorf("show when all has ended: %s", text)
	}
	for _, f := range []queue.Filter{{Recipient: "secret1@hidden.example"}, {Domain: "hidden.example"}, {RecipientContains: "secret"}} {
		if got := list(t, c, f, control.FormatJSON); got != "" {
			t.Errorf("%+v finds %s", f, got)
		}
		if n, err := c.Act(t.Context(), control.Order{Verb: control.Delete, IDs: []queue.ID{id}, Filter: f}); err != nil || n.Messages != 0 {
			t.Errorf("%+v deletes %+v, %v", f, n, err)
		}
	}
}
