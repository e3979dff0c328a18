package bounce_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/mail"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/bounce"
	"postrider/queue"
	"postrider/queue/boltstore"
)

var (
	start      = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	alice      = mailbox("alice@example.com")
	postmaster = mailbox("postmaster@example.com")
)

func mailbox(s string) address.Address {
	local, domain, _ := strings.Cut(s, "@")
	return address.Address{Local: local, Domain: domain}
}

// spool is a real store with a reporter and a clock.
type spool struct {
	t        testing.TB
	store    *boltstore.Store
	reporter *bounce.Reporter
	now      time.Time
	log      bytes.Buffer
}

func newSpool(t testing.TB, change func(*bounce.Options)) *spool {
	t.Helper()
	s := &spool{t: t, now: start}
	var err error
	s.store, err = boltstore.Open(filepath.Join(t.TempDir(), "queue.db"), boltstore.Options{Ballast: -1, FreeFloor: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.store.Check(context.Background()); err != nil {
			t.Error(err)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	o := bounce.Options{
		Store:       s.store,
		Hostname:    "host.example.com",
		Origin:      "example.com",
		Postmaster:  postmaster,
		Destination: func(_, to address.Address) string { return to.Domain },
		Now:         func() time.Time { return s.now },
		Logger:      slog.New(slog.NewTextHandler(&s.log, nil)),
	}
	if change != nil {
		change(&o)
	}
	s.reporter = bounce.New(o)
	return s
}

// ordinary is a message from alice.
func ordinary(recipients ...queue.Recipient) *queue.Message {
	return &queue.Message{
		Envelope:   queue.Envelope{ReversePath: alice},
		Recipients: recipients,
		Origin:     queue.Origin{Via: queue.ViaSocket, UID: 1000},
		MessageID:  "<1@host.example.com>",
		Arrival:    start,
		Expires:    start.Add(5 * 24 * time.Hour),
		NoticeAt:   start.Add(4 * time.Hour),
	}
}

func to(addr string, notify queue.Notify) queue.Recipient {
	return queue.Recipient{Address: mailbox(addr), Notify: notify}
}

// put queues a message, each recipient's domain being a destination.
func (s *spool) put(m *queue.Message, body string) queue.ID {
	s.t.Helper()
	d, err := s.store.Create(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(d, body); err != nil {
		s.t.Fatal(err)
	}
	var destinations []string
	for _, r := range m.Recipients {
		destinations = append(destinations, r.Address.Domain)
	}
	id, err := d.Commit(s.t.Context(), m, destinations)
	if err != nil {
		s.t.Fatal(err)
	}
	return id
}

// attempt tries everything that is due for a destination; outcome says what
// becomes of a recipient.
func (s *spool) attempt(destination string, outcome func(*queue.Message, queue.Recipient) queue.Outcome) int {
	s.t.Helper()
	leases, err := s.store.Claim(s.t.Context(), queue.Claim{Destination: destination, Owner: "test", Now: s.now, Until: s.now.Add(time.Hour), Max: 100})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, l := range leases {
		w, err := s.store.Load(s.t.Context(), l)
		if err != nil {
			s.t.Fatal(err)
		}
		a := queue.Attempt{Started: s.now, Destination: destination}
		for _, r := range w.Delivery.Recipients {
			if r.Result.Ended() {
				continue
			}
			o := outcome(w.Message, w.Message.Recipients[r.Index])
			o.Index = r.Index
			a.Outcomes = append(a.Outcomes, o)
		}
		if err := s.store.Record(s.t.Context(), l, queue.Record{Now: s.now, Attempt: a, Next: s.now.Add(time.Hour)}); err != nil {
			s.t.Fatal(err)
		}
	}
	return len(leases)
}

func refused(*queue.Message, queue.Recipient) queue.Outcome {
	return queue.Outcome{Result: queue.Failed, Code: 550, Status: "5.1.1", Reply: "550 5.1.1 no such user", Remote: "mx.example.net", Owed: true}
}

func deferred(*queue.Message, queue.Recipient) queue.Outcome {
	return queue.Outcome{Result: queue.Temporary, Code: 450, Status: "4.2.1", Reply: "450 4.2.1 greylisted", Remote: "mx.example.net"}
}

func accepted(_ *queue.Message, r queue.Recipient) queue.Outcome {
	return queue.Outcome{Result: queue.Relayed, Code: 250, Status: "2.0.0", Reply: "250 2.0.0 ok", Remote: "mx.example.net", Owed: r.Notify.OnSuccess()}
}

func (s *spool) report(id queue.ID) {
	s.t.Helper()
	if err := s.reporter.Report(s.t.Context(), id); err != nil {
		s.t.Fatal(err)
	}
}

// entries lists what is in the queue.
func (s *spool) entries() []queue.Entry {
	s.t.Helper()
	var all []queue.Entry
	for after := queue.ID(0); ; {
		entries, next, err := s.store.List(s.t.Context(), queue.Filter{}, after, 100)
		if err != nil {
			s.t.Fatal(err)
		}
		all = append(all, entries...)
		if next == 0 {
			return all
		}
		after = next
	}
}

// letter is a report as it is queued.
type letter struct {
	entry queue.Entry
	text  string
	mail  *mail.Message
}

// letters gives the reports on a message, oldest first.
func (s *spool) letters(about queue.ID) []letter {
	s.t.Helper()
	var out []letter
	for _, e := range s.entries() {
		if e.Message.Reports != about {
			continue
		}
		text := s.body(e.Message.ID)
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			s.t.Fatal(err)
		}
		out = append(out, letter{e, text, m})
	}
	return out
}

func (s *spool) body(id queue.ID) string {
	s.t.Helper()
	r, err := s.store.Body(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// only wants one report on the message, with the words in it and the others not.
func (s *spool) only(about queue.ID, words []string, without ...string) letter {
	s.t.Helper()
	found := s.letters(about)
	if len(found) != 1 {
		s.t.Fatalf("%d reports, want one\n%s", len(found), s.log.String())
	}
	for _, w := range words {
		if !strings.Contains(found[0].text, w) {
			s.t.Errorf("lacks %q:\n%s", w, found[0].text)
		}
	}
	for _, w := range without {
		if strings.Contains(found[0].text, w) {
			s.t.Errorf("has %q:\n%s", w, found[0].text)
		}
	}
	return found[0]
}

// none wants nothing reported, and nothing on the agenda now.
func (s *spool) none(about queue.ID) {
	s.t.Helper()
	if found := s.letters(about); len(found) > 0 {
		s.t.Errorf("reported:\n%s", found[0].text)
	}
	s.settled()
}

// settled wants nothing to be left to do now.
func (s *spool) settled() {
	s.t.Helper()
	items, err := s.store.Agenda(s.t.Context(), s.now, 100)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(items) > 0 {
		s.t.Errorf("still on the agenda: %v", items)
	}
}

// gone tells whether the message has left the queue.
func (s *spool) gone(id queue.ID) bool {
	return !slices.ContainsFunc(s.entries(), func(e queue.Entry) bool { return e.Message.ID == id })
}
