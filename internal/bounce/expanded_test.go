package bounce_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/bounce"
	"postrider/queue"
)

// member is what list@example.com names.
func member(addr string, notify queue.Notify) queue.Added {
	r := to(addr, notify)
	r.Via = []address.Address{mailbox("list@example.com")}
	return queue.Added{Recipient: r, Destination: r.Address.Domain, Unique: true}
}

func ownedBy(owner address.Address, list ...queue.Added) []queue.Added {
	for i := range list {
		list[i].Recipient.ReversePath = &owner
	}
	return list
}

// expand has the recipients for a destination replaced.
func (s *spool) expand(destination string, added ...queue.Added) {
	s.t.Helper()
	leases, err := s.store.Claim(s.t.Context(), queue.Claim{Destination: destination, Owner: "test", Now: s.now, Until: s.now.Add(time.Hour), Max: 1})
	if err != nil || len(leases) != 1 {
		s.t.Fatal(len(leases), err)
	}
	w, err := s.store.Load(s.t.Context(), leases[0])
	if err != nil {
		s.t.Fatal(err)
	}
	a := queue.Attempt{Started: s.now}
	for _, r := range w.Delivery.Recipients {
		a.Outcomes = append(a.Outcomes, queue.Outcome{Index: r.Index, Result: queue.Expanded, Status: "2.0.0",
			Reply: "expanded to the secret members", Owed: w.Message.Recipients[r.Index].Notify.OnSuccess()})
	}
	if err := s.store.Record(s.t.Context(), leases[0], queue.Record{Now: s.now, Attempt: a, Added: added}); err != nil {
		s.t.Fatal(err)
	}
}

func has(t *testing.T, text string, words []string, without ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("lacks %q:\n%s", w, text)
		}
	}
	for _, w := range without {
		if strings.Contains(text, w) {
			t.Errorf("has %q:\n%s", w, text)
		}
	}
}

func TestFailureBehindAnAlias(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("list@example.com", 0)), body)
	command, file := member("list@example.com", 0), member("carol@example.org", 0)
	command.Destination, file.Destination = "local", "local"
	command.Recipient.Target = queue.Target{Kind: queue.TargetCommand, Value: "/usr/bin/secret-filter", User: "u1"}
	file.Recipient.Target = queue.Target{Kind: queue.TargetFile, Value: "/var/secret-file", User: "u2"}
	file.Recipient.Original = "rfc822;List@example.com"
	s.expand("example.com", member("bob@example.net", 0), command, file)
	s.attempt("example.net", refused)
	s.attempt("local", func(*queue.Message, queue.Recipient) queue.Outcome {
		return queue.Outcome{Result: queue.Failed, Status: "5.3.0", Reply: "it ended with status 1", Owed: true}
	})
	s.report(id)
	s.only(id, []string{
		"<list@example.com>, expanded to <bob@example.net>\n", "Final-Recipient: rfc822; bob@example.net",
		"  <list@example.com>\n", "Final-Recipient: rfc822; list@example.com",
		"<list@example.com>, expanded to <carol@example.org>\n", "Original-Recipient: rfc822;List@example.com\nFinal-Recipient: rfc822; carol@example.org",
		"status 1",
	}, "secret", "u1", "u2")
	if !s.gone(id) {
		t.Error("the message is still in the queue")
	}
	s.settled()
}

func TestExpansionIsReportedWhereAsked(t *testing.T) {
	for name, test := range map[string]struct {
		added          []queue.Added
		words, without []string
	}{
		"alias": {[]queue.Added{member("bob@example.net", queue.NotifyNever), member("carol@example.net", queue.NotifyNever)},
			[]string{"Action: expanded\nStatus: 2.0.0"}, []string{"Action: delivered"}},
		"list": {ownedBy(mailbox("owner@example.com"), member("bob@example.net", 0), member("carol@example.net", 0)),
			[]string{"Action: delivered"}, []string{"Action: expanded"}},
		"none": {nil, []string{"Action: expanded"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSpool(t, nil)
			id := s.put(ordinary(to("list@example.com", queue.NotifySuccess), to("erin@example.com", 0)), body)
			s.expand("example.com", test.added...)
			s.attempt("example.net", accepted)
			s.report(id)
			s.only(id, append(test.words, "Final-Recipient: rfc822; list@example.com"), append(test.without, "secret", "bob@", "carol@", "erin@")...)
			if !s.gone(id) {
				t.Error("the message is still in the queue")
			}
		})
	}
}

func TestMergedIsReportedWhereAsked(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("bob@example.net", queue.NotifySuccess), to("bob+x@example.net", 0)), body)
	s.attempt("example.net", func(_ *queue.Message, r queue.Recipient) queue.Outcome {
		return queue.Outcome{Result: queue.Merged, Status: "2.0.0", Reply: "the same as another one", Owed: r.Notify.OnSuccess()}
	})
	s.report(id)
	s.only(id, []string{"Action: expanded"}, "bob+x", "the same as")
}

// TestMembersAreReportedToTheOwner: a list's owner is told of its members, and of
// nothing else; the sender is told of what it wrote itself.
func TestMembersAreReportedToTheOwner(t *testing.T) {
	s := newSpool(t, nil)
	m := ordinary(to("list@example.com", 0), to("dave@example.net", 0))
	m.Envelope.EnvID, m.Envelope.Ret = "QQ1", queue.RetHeaders
	id := s.put(m, body)
	owner := mailbox("owner-list@example.com")
	added := append(ownedBy(owner, member("bob@example.net", 0)), member("eve@example.org", 0))
	// The owner's domain in another case makes no second owner.
	added = append(added, ownedBy(mailbox("owner-list@EXAMPLE.com"), member("carol@example.net", 0))...)
	s.expand("example.com", added...)
	s.attempt("example.net", refused)
	s.attempt("example.org", refused)
	s.report(id)
	found := s.letters(id)
	if len(found) != 2 {
		t.Fatalf("%d reports", len(found))
	}
	has(t, found[0].text, []string{"<dave@example.net>", "expanded to <eve@example.org>", "Original-Envelope-Id: QQ1", "text/rfc822-headers", "your message"}, "bob@", "carol@")
	has(t, found[1].text, []string{"<list@example.com>, expanded to <bob@example.net>", "carol@example.net", "a list of yours", "message/rfc822"}, "dave@", "eve@", "Original-Envelope-Id", "QQ1", "your message")
	for i, want := range []address.Address{alice, owner} {
		if got := found[i].entry.Message.Recipients[0].Address; got != want || found[i].entry.Message.Kind != queue.Report {
			t.Errorf("report %d goes to %s, want %s", i, got, want)
		}
	}
	if !s.gone(id) {
		t.Error("the message is still in the queue")
	}
	s.report(id)
	if n := len(s.letters(id)); n != 2 {
		t.Errorf("%d reports in the end", n)
	}
}

func TestNobodyIsToldForANullOwner(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("list@example.com", 0), to("dave@example.net", 0)), body)
	s.expand("example.com", ownedBy(address.Address{}, member("bob@example.net", 0))...)
	s.attempt("example.net", refused)
	s.report(id)
	s.only(id, []string{"dave@"}, "bob@")
	if !s.gone(id) {
		t.Error("the message is still in the queue")
	}
	if !strings.Contains(s.log.String(), "nobody is told") || !strings.Contains(s.log.String(), "rcpt=bob@example.net") {
		t.Errorf("log:\n%s", s.log.String())
	}
}

// TestNullSenderHidesOwners: reports are not reported on, whatever list they met.
func TestNullSenderHidesOwners(t *testing.T) {
	s := newSpool(t, nil)
	m := ordinary(to("list@example.com", 0))
	m.Envelope.ReversePath = address.Address{}
	id := s.put(m, body)
	s.expand("example.com", ownedBy(mailbox("owner@example.com"), member("bob@example.net", 0))...)
	s.attempt("example.net", refused)
	s.report(id)
	s.none(id)
}

func TestDelayNoticeForEachParty(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("list@example.com", 0), to("dave@example.net", 0)), body)
	list := ownedBy(mailbox("owner@example.com"), member("bob@example.net", 0))
	s.expand("example.com", append(list, ownedBy(address.Address{}, member("erin@example.net", 0))...)...)
	s.attempt("example.net", deferred)
	s.now = start.Add(5 * time.Hour)
	s.report(id)
	found := s.letters(id)
	if len(found) != 2 {
		t.Fatalf("%d notices", len(found))
	}
	has(t, found[0].text, []string{"dave@", "YOU NEED NOT SEND IT AGAIN"}, "bob@", "erin@", "list@")
	has(t, found[1].text, []string{"expanded to <bob@example.net>", "a list of yours"}, "dave@", "erin@", "SEND IT AGAIN")
	s.settled()
	s.report(id)
	if n := len(s.letters(id)); n != 2 {
		t.Errorf("%d notices in the end", n)
	}
}

// failing fails the nth Settle with a report.
type failing struct {
	queue.Store
	left int
}

var errBroken = errors.New("broken")

func (f *failing) Settle(ctx context.Context, s queue.Settlement, d queue.Draft, m *queue.Message) (queue.ID, error) {
	if d != nil {
		if f.left--; f.left == 0 {
			return 0, errBroken
		}
	}
	return f.Store.Settle(ctx, s, d, m)
}

// TestBrokenDelayNotices: no party goes without, and none gets two but after a restart.
func TestBrokenDelayNotices(t *testing.T) {
	for name, restart := range map[string]bool{"running": false, "restarted": true} {
		t.Run(name, func(t *testing.T) {
			f := &failing{left: 2}
			var options bounce.Options
			s := newSpool(t, func(o *bounce.Options) { f.Store, o.Store = o.Store, f; options = *o })
			id := s.put(ordinary(to("list@example.com", 0), to("dave@example.net", 0)), body)
			s.expand("example.com", ownedBy(mailbox("owner@example.com"), member("bob@example.net", 0))...)
			s.now = start.Add(5 * time.Hour)
			if err := s.reporter.Report(t.Context(), id); !errors.Is(err, errBroken) {
				t.Fatal(err)
			}
			if n := len(s.letters(id)); n != 1 {
				t.Fatalf("%d notices", n)
			}
			want := []string{"dave@", "bob@"}
			if restart {
				s.reporter = bounce.New(options)
				want = []string{"dave@", "dave@", "bob@"}
			}
			s.report(id)
			s.report(id)
			found := s.letters(id)
			if len(found) != len(want) {
				t.Fatalf("%d notices, want %d", len(found), len(want))
			}
			for i, w := range want {
				has(t, found[i].text, []string{w})
			}
			s.settled()
		})
	}
}

// TestEachPartyHasItsOwnCommit: what broke is made good, and nothing is told twice.
func TestEachPartyHasItsOwnCommit(t *testing.T) {
	f := &failing{left: 2}
	s := newSpool(t, func(o *bounce.Options) { f.Store, o.Store = o.Store, f })
	id := s.put(ordinary(to("list@example.com", 0), to("dave@example.net", 0)), body)
	s.expand("example.com", ownedBy(mailbox("owner@example.com"), member("bob@example.net", 0))...)
	s.attempt("example.net", refused)
	if err := s.reporter.Report(t.Context(), id); !errors.Is(err, errBroken) {
		t.Fatal(err)
	}
	s.only(id, []string{"dave@"}, "bob@")
	s.report(id)
	if found := s.letters(id); len(found) != 2 || strings.Contains(found[1].text, "dave@") {
		t.Errorf("%d reports", len(found))
	}
}

// TestPostmasterBehindAnAlias: a report that failed to reach whom the postmaster's
// address stands for is not sent to the postmaster.
func TestPostmasterBehindAnAlias(t *testing.T) {
	s := newSpool(t, nil)
	report := bounced(t, s, "postmaster@example.com")
	admin := member("admin@example.org", 0)
	admin.Recipient.Via = []address.Address{postmaster}
	s.expand("example.com", admin)
	s.attempt("example.org", refused)
	s.report(report)
	s.none(report)
	if !strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("log:\n%s", s.log.String())
	}
}
