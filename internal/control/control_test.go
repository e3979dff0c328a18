package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/control"
	"postrider/queue"
	"postrider/queue/boltstore"
)

var arrival = time.Date(2026, 11, 3, 4, 45, 39, 0, time.Local)

func openStore(t *testing.T) queue.Store {
	t.Helper()
	s, err := boltstore.Open(filepath.Join(t.TempDir(), "queue.db"), boltstore.Options{Ballast: -1, FreeFloor: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Check(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("store is not consistent: %v", err)
		}
		s.Close()
	})
	return s
}

func parse(s string) address.Address {
	if s == "" {
		return address.Address{}
	}
	local, domain, _ := strings.Cut(s, "@")
	return address.Address{Local: local, Domain: domain}
}

// put queues a message and gives its ID.
func put(t *testing.T, s queue.Store, uid int, from string, to ...string) queue.ID {
	t.Helper()
	d, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(d, "Subject: from "+from+"\n\nbody\n"); err != nil {
		t.Fatal(err)
	}
	m := &queue.Message{Envelope: queue.Envelope{ReversePath: parse(from)}, Origin: queue.Origin{Via: queue.ViaSocket, UID: uid},
		Arrival: arrival, Expires: arrival.Add(240 * time.Hour), MessageID: "<1@x>"}
	var destinations []string
	for _, rcpt := range to {
		a := parse(rcpt)
		m.Recipients = append(m.Recipients, queue.Recipient{Address: a})
		destinations = append(destinations, a.Domain)
	}
	id, err := d.Commit(t.Context(), m, destinations)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// deferFor records a failed attempt of all that is due for a destination.
func deferFor(t *testing.T, s queue.Store, destination, reply string) {
	t.Helper()
	now := time.Now()
	leases, err := s.Claim(t.Context(), queue.Claim{Destination: destination, Owner: "test", Now: now, Until: now.Add(time.Hour), Max: 100})
	if err != nil || len(leases) == 0 {
		t.Fatalf("claim: %d leases, %v", len(leases), err)
	}
	for _, l := range leases {
		w, err := s.Load(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		a := queue.Attempt{Started: now, Destination: destination, Tries: []queue.Try{{Host: "mx." + destination, Error: "no"}}}
		for _, r := range w.Delivery.Recipients {
			a.Outcomes = append(a.Outcomes, queue.Outcome{Index: r.Index, Result: queue.Temporary, Status: "4.4.1", Reply: reply})
		}
		if err := s.Record(t.Context(), l, queue.Record{Now: now, Attempt: a, Next: now.Add(time.Hour)}); err != nil {
			t.Fatal(err)
		}
	}
}

// serve runs a server and gives its socket.
func serve(t *testing.T, local *control.Local) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "control")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "c.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{dir: 0o755, path: 0o666} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- control.NewServer(local, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		os.RemoveAll(dir)
	})
	return path
}

func dial(t *testing.T, path string) *control.Client {
	t.Helper()
	c, err := control.Dial(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func list(t *testing.T, q control.Queue, f queue.Filter, format control.Format) string {
	t.Helper()
	var b bytes.Buffer
	if err := q.List(t.Context(), f, format, &b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestMailqIsPostfixs(t *testing.T) {
	s := openStore(t)
	local := &control.Local{Store: s}
	if got := list(t, local, queue.Filter{}, control.FormatMailq); got != "Mail queue is empty\n" {
		t.Errorf("empty queue: %q", got)
	}
	first := put(t, s, 1001, "alice@example.org", "bob@example.net", "carol@example.net", "dave@other.example")
	second := put(t, s, 1001, "", "eve@third.example")
	deferFor(t, s, "example.net", "connect to mx.example.net[192.0.2.7]:25: Connection timed out\nsecond line")
	if _, err := s.Hold(t.Context(), "looks odd", second); err != nil {
		t.Fatal(err)
	}
	want := `-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
` + first.String() + `      38 Tue Nov  3 04:45:39  alice@example.org
                                         dave@other.example
   (connect to mx.example.net[192.0.2.7]:25: Connection timed out second line)
                                         bob@example.net
                                         carol@example.net

` + second.String() + `!      21 Tue Nov  3 04:45:39  MAILER-DAEMON
                                         eve@third.example

-- 0 Kbytes in 2 Requests.
`
	got := list(t, local, queue.Filter{}, control.FormatMailq)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if one := list(t, local, queue.Filter{IDs: []queue.ID{first}}, control.FormatMailq); !strings.HasSuffix(one, "\n-- 0 Kbytes in 1 Request.\n") {
		t.Errorf("one message: %q", one)
	}
}

func TestJSONHasTheStableNames(t *testing.T) {
	s := openStore(t)
	id := put(t, s, 1001, "alice@example.org", "bob@example.net")
	deferFor(t, s, "example.net", "451 4.7.1 later")
	text := list(t, dial(t, serve(t, &control.Local{Store: s})), queue.Filter{}, control.FormatJSON)
	var item map[string]any
	if err := json.Unmarshal([]byte(text), &item); err != nil || strings.Count(text, "\n") != 1 {
		t.Fatalf("%q: %v", text, err)
	}
	for _, name := range []string{"id", "state", "size", "arrival", "sender", "uid", "message_id", "recipients"} {
		if _, ok := item[name]; !ok {
			t.Errorf("no %q in %s", name, text)
		}
	}
	rcpt := item["recipients"].([]any)[0].(map[string]any)
	for name, want := range map[string]any{"address": "bob@example.net", "state": "deferred", "destination": "example.net", "attempts": 1.0, "last_reply": "451 4.7.1 later", "status": "4.4.1"} {
		if rcpt[name] != want {
			t.Errorf("recipient's %s is %v, want %v", name, rcpt[name], want)
		}
	}
	if item["id"] != id.String() || item["state"] != "deferred" || item["uid"] != 1001.0 {
		t.Errorf("%s", text)
	}
}

func TestListGoesThroughAllWindows(t *testing.T) {
	s := openStore(t)
	const n = 1203
	for range n {
		put(t, s, 1, "a@x.example", "b@y.example")
	}
	c := dial(t, serve(t, &control.Local{Store: s}))
	if got := strings.Count(list(t, c, queue.Filter{}, control.FormatJSON), "\n"); got != n {
		t.Errorf("%d of %d messages listed", got, n)
	}
}

func TestShowCatFlushDelete(t *testing.T) {
	s := openStore(t)
	id := put(t, s, 1001, "alice@example.org", "bob@example.net")
	other := put(t, s, 1001, "alice@example.org", "bob@other.example")
	deferFor(t, s, "example.net", "451 4.7.1 later")
	if err := s.Suspend(t.Context(), "example.net", time.Now().Add(time.Hour), "dead", 1); err != nil {
		t.Fatal(err)
	}
	var kicked []string
	c := dial(t, serve(t, &control.Local{Store: s, Kick: func(d ...string) { kicked = append(kicked, d...) }}))
	d, err := c.Show(t.Context(), id)
	if err != nil || len(d.Attempts) != 1 || d.Attempts[0].Outcomes[0].Reply != "451 4.7.1 later" || d.Sender != "alice@example.org" {
		t.Fatalf("%+v, %v", d, err)
	}
	var text bytes.Buffer
	if err := control.WriteDetails(&text, d); err != nil || !strings.Contains(text.String(), "451 4.7.1 later") {
		t.Errorf("%s, %v", text.String(), err)
	}
	var body bytes.Buffer
	if err := c.Cat(t.Context(), id, &body); err != nil || body.String() != "Subject: from alice@example.org\n\nbody\n" {
		t.Errorf("%q, %v", body.String(), err)
	}
	if n, err := c.Flush(t.Context(), queue.Filter{Domain: "example.net"}, false); err != nil || n.Messages != 1 {
		t.Errorf("flush: %+v, %v", n, err)
	}
	if !slices.Equal(kicked, []string{"example.net"}) {
		t.Errorf("kicked %q", kicked)
	}
	if due, err := s.Waking(t.Context(), time.Now(), 10); err != nil || !slices.ContainsFunc(due, func(d queue.Destination) bool { return d.Name == "example.net" }) {
		t.Errorf("after flush: %+v, %v", due, err)
	}
	if n, err := c.Act(t.Context(), control.Order{Verb: control.Delete, IDs: []queue.ID{id}}); err != nil || n.Messages != 1 {
		t.Errorf("delete: %+v, %v", n, err)
	}
	if err := c.Cat(t.Context(), id, io.Discard); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("cat of a deleted message: %v", err)
	}
	if got := list(t, c, queue.Filter{}, control.FormatJSON); !strings.Contains(got, other.String()) || strings.Contains(got, id.String()) {
		t.Errorf("left: %s", got)
	}
}

func TestNoDaemon(t *testing.T) {
	if _, err := control.Dial(t.Context(), filepath.Join(t.TempDir(), "none.sock")); !errors.Is(err, control.ErrNoDaemon) {
		t.Errorf("got %v", err)
	}
}

// TestTableKeepsTerminalsSafe: what strangers say must not steer a terminal.
func TestTableKeepsTerminalsSafe(t *testing.T) {
	s := openStore(t)
	put(t, s, 1, "a@x.example", "b@y.example")
	deferFor(t, s, "y.example", "451 \x1b[2J\x07\u009b\u202e evil")
	for _, f := range []control.Format{control.FormatMailq, control.FormatTable, control.FormatJSON} {
		if got := list(t, &control.Local{Store: s}, queue.Filter{}, f); strings.ContainsAny(got, "\x1b\x07\u009b\u202e") && f != control.FormatJSON || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q", f, got)
		}
	}
}

// TestUsersSeeTheirOwn asks as another user, whose uid the kernel tells.
func TestUsersSeeTheirOwn(t *testing.T) {
	const uid = 4242
	if path := os.Getenv("CONTROL_TEST_SOCKET"); path != "" {
		askAsUser(t, path, os.Getenv("CONTROL_TEST_OWN"), os.Getenv("CONTROL_TEST_FOREIGN"))
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can become another user")
	}
	s := openStore(t)
	own := put(t, s, uid, "me@x.example", "b@y.example")
	foreign := put(t, s, 1001, "other@x.example", "b@y.example")
	expand(t, s, own, "y.example")
	ended := put(t, s, uid, "me@x.example", "b@z.example")
	expand(t, s, ended, "z.example")
	if _, err := s.Delete(t.Context(), time.Now(), "secret note", ended); err != nil {
		t.Fatal(err)
	}
	path := serve(t, &control.Local{Store: s})
	binary := filepath.Join(filepath.Dir(path), "test")
	text, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "-test.run", "^TestUsersSeeTheirOwn$", "-test.v")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "CONTROL_TEST_SOCKET="+path, "CONTROL_TEST_OWN="+own.String(), "CONTROL_TEST_FOREIGN="+foreign.String(), "CONTROL_TEST_ENDED="+ended.String())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("as uid %d: %v\n%s", uid, err, out)
	}
	if _, err := s.Get(t.Context(), foreign); err != nil {
		t.Errorf("the message of another user: %v", err)
	}
	if _, err := s.Get(t.Context(), own); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("the user's own message, deleted by the user: %v", err)
	}
}

func askAsUser(t *testing.T, path, own, foreign string) {
	c := dial(t, path)
	askOfExpanded(t, c, own)
	got := list(t, c, queue.Filter{}, control.FormatJSON)
	if !strings.Contains(got, own) || strings.Contains(got, foreign) {
		t.Errorf("sees %s", got)
	}
	id, err := queue.ParseID(foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Show(t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("show: %v", err)
	}
	if err := c.Cat(t.Context(), id, io.Discard); !errors.Is(err, queue.ErrNotFound) {
		t.Errorf("cat: %v", err)
	}
	mayNotSteer(t, c, own, foreign)
	mine, err := queue.ParseID(own)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Act(t.Context(), control.Order{Verb: control.Delete, IDs: []queue.ID{mine, id}}); err != nil || n.Messages != 1 {
		t.Errorf("delete of both: %+v, %v", n, err)
	}
}
