package bounce_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/bounce"
	"postrider/queue"
)

const body = "From: alice@example.com\nSubject: lunch\nMessage-ID: <1@host.example.com>\n\nAt one?\n"

func TestFailuresShareOneReport(t *testing.T) {
	s := newSpool(t, nil)
	m := ordinary(to("bob@example.net", 0), to("carol@example.net", queue.NotifyFailure), to("dave@example.net", queue.NotifyNever))
	m.Envelope.EnvID = "QQ1"
	m.Recipients[1].Original = "rfc822;Carol@example.net"
	id := s.put(m, body)
	s.attempt("example.net", refused)
	s.report(id)
	l := s.only(id, []string{"<bob@example.net>", "<carol@example.net>", "Original-Recipient: rfc822;Carol@example.net", "Original-Envelope-Id: QQ1",
		"550 5.1.1 no such user", "Content-Type: message/rfc822", "At one?"}, "dave")
	got := l.entry.Message
	if got.Kind != queue.Report || !got.Envelope.ReversePath.IsNull() || got.Recipients[0].Address != alice || len(got.Recipients) != 1 ||
		got.Origin.Via != queue.ViaInternal || got.Origin.UID != queue.NoUID || !got.NoticeAt.IsZero() ||
		!got.Expires.Equal(start.Add(24*time.Hour)) || got.MessageID != l.mail.Header.Get("Message-Id") {
		t.Errorf("%+v", got)
	}
	if l.entry.Deliveries[0].Destination != "example.com" {
		t.Errorf("destination %q", l.entry.Deliveries[0].Destination)
	}
	if first, _, _ := strings.Cut(l.text, "\n"); first != "Received: by host.example.com (postrider)" || !strings.Contains(l.text[:200], "id "+got.ID.String()+";") {
		t.Errorf("begins with %.200q", l.text)
	}
	for name, want := range map[string]string{"To": "<alice@example.com>", "From": "Mail Delivery System <MAILER-DAEMON@example.com>", "In-Reply-To": m.MessageID} {
		if l.mail.Header.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, l.mail.Header.Get(name), want)
		}
	}
	if !s.gone(id) {
		t.Error("the message is still in the queue")
	}
	// Again: nothing more.
	s.report(id)
	s.only(id, nil)
	s.settled()
}

func TestConcurrentCallsMakeOneReport(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("bob@example.net", 0), to("carol@example.org", 0)), body)
	s.attempt("example.net", refused)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { s.report(id) })
	}
	wg.Wait()
	s.only(id, []string{"bob@example.net"}, "carol")
}

func TestFailuresAtDifferentTimes(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("bob@example.net", 0), to("carol@example.org", 0)), body)
	s.attempt("example.net", refused)
	s.report(id)
	s.only(id, []string{"bob@"}, "carol@")
	s.attempt("example.org", refused)
	s.report(id)
	found := s.letters(id)
	if len(found) != 2 || strings.Contains(found[1].text, "bob@") || !strings.Contains(found[1].text, "carol@") {
		t.Errorf("%d reports", len(found))
	}
}

func TestSuccessIsReportedWhereAsked(t *testing.T) {
	s := newSpool(t, nil)
	local := func(_ *queue.Message, r queue.Recipient) queue.Outcome {
		return queue.Outcome{Result: queue.Delivered, Status: "2.0.0", Reply: "delivered to /var/mail/bob", Owed: r.Notify.OnSuccess()}
	}
	id := s.put(ordinary(to("bob@example.com", queue.NotifySuccess), to("carol@example.net", queue.NotifySuccess|queue.NotifyFailure), to("dave@example.net", 0)), body)
	s.attempt("example.com", local)
	s.attempt("example.net", accepted)
	s.report(id)
	s.only(id, []string{"Action: delivered", "Action: relayed", "Successful Mail Delivery Report", "text/rfc822-headers"}, "dave@", "/var/mail", "At one?")
}

func TestSuccessAndFailureAreTwoReports(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("bob@example.net", queue.NotifySuccess), to("carol@example.org", 0)), body)
	s.attempt("example.net", accepted)
	s.attempt("example.org", refused)
	s.report(id)
	found := s.letters(id)
	if len(found) != 2 || !strings.Contains(found[0].text, "Action: failed") || !strings.Contains(found[1].text, "Action: relayed") {
		t.Errorf("%d reports", len(found))
	}
	if !s.gone(id) {
		t.Error("the message is still in the queue")
	}
}

func TestWhatIsReturned(t *testing.T) {
	big := body + strings.Repeat("more\n", 20_000)
	tests := []struct {
		name     string
		envelope queue.Envelope
		body     string
		max      int64
		full     bool
		eightBit bool
	}{
		{"default", queue.Envelope{}, body, 0, true, false},
		{"default, large", queue.Envelope{}, big, 0, false, false},
		{"full, large", queue.Envelope{Ret: queue.RetFull}, big, 0, false, false},
		{"full, large allowed", queue.Envelope{Ret: queue.RetFull}, big, 1 << 20, true, false},
		{"headers", queue.Envelope{Ret: queue.RetHeaders}, body, 0, false, false},
		{"TLS required", queue.Envelope{Ret: queue.RetFull, RequireTLS: true}, body, 0, false, false},
		{"8-bit body", queue.Envelope{}, "A: b\n\n\xe4\n", 0, true, true},
		{"8-bit body, headers", queue.Envelope{Ret: queue.RetHeaders}, "A: b\n\n\xe4\n", 0, false, false},
		{"8-bit header, headers", queue.Envelope{Ret: queue.RetHeaders}, "A: \xe4\n\nx\n", 0, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpool(t, func(o *bounce.Options) { o.MaxReturn = tt.max })
			m := ordinary(to("bob@example.net", 0))
			tt.envelope.ReversePath = alice
			m.Envelope = tt.envelope
			id := s.put(m, tt.body)
			s.attempt("example.net", refused)
			s.report(id)
			kind, words := "Content-Type: text/rfc822-headers", "The header of your message is attached."
			if tt.full {
				kind, words = "Content-Type: message/rfc822\n", "A copy of your message is attached."
			}
			l := s.only(id, []string{kind, words})
			if got := strings.Contains(l.text, tt.body); got != tt.full {
				t.Errorf("whole message in it: %v", got)
			}
			got := l.entry.Message.Envelope
			if (got.Body == queue.Body8BitMIME) != tt.eightBit || (l.mail.Header.Get("Content-Transfer-Encoding") == "8bit") != tt.eightBit {
				t.Errorf("body type %v, want 8-bit %v", got.Body, tt.eightBit)
			}
			if got.RequireTLS != tt.envelope.RequireTLS {
				t.Errorf("RequireTLS %v", got.RequireTLS)
			}
		})
	}
}

func TestInternationalMail(t *testing.T) {
	s := newSpool(t, nil)
	m := ordinary(to("jürgen@example.net", 0))
	m.Envelope = queue.Envelope{ReversePath: mailbox("zoë@example.com"), SMTPUTF8: true}
	id := s.put(m, "Subject: Grüße\n\nx\n")
	s.attempt("example.net", refused)
	s.report(id)
	l := s.only(id, []string{"message/global-delivery-status", "To: <zoë@example.com>", "utf-8; jürgen@example.net"})
	if env := l.entry.Message.Envelope; !env.SMTPUTF8 || env.Body != queue.Body8BitMIME {
		t.Errorf("%+v", env)
	}
}

func TestSenderWithoutDomainIsCompleted(t *testing.T) {
	s := newSpool(t, nil)
	m := ordinary(to("bob@example.net", 0))
	m.Envelope.ReversePath = address.Address{Local: "alice"}
	id := s.put(m, body)
	s.attempt("example.net", refused)
	s.report(id)
	if l := s.only(id, nil); l.entry.Message.Recipients[0].Address != alice {
		t.Errorf("%+v", l.entry.Message.Recipients)
	}
}

func TestDelayNotice(t *testing.T) {
	tests := []struct {
		name   string
		header string
		change func(*queue.Message)
		told   bool
	}{
		{"ordinary", "Subject: x\n", nil, true},
		{"null sender", "Subject: x\n", func(m *queue.Message) { m.Envelope.ReversePath = address.Address{} }, false},
		{"one recipient wants none", "Subject: x\n", func(m *queue.Message) { m.Recipients[0].Notify = queue.NotifyFailure }, false},
		{"never", "Subject: x\n", func(m *queue.Message) { m.Recipients[0].Notify = queue.NotifyNever }, false},
		{"asked for", "Subject: x\n", func(m *queue.Message) { m.Recipients[0].Notify = queue.NotifyDelay }, true},
		{"bulk", "A: b\nprecedence : BULK\n", nil, false},
		{"list", "Precedence: list\n", nil, false},
		{"junk, folded", "Precedence:\n junk\n", nil, false},
		{"first-class", "Precedence: first-class\n", nil, true},
		{"list id", "List-Id: <x.example.com>\n", nil, false},
		{"list id at the end", "A: b\nList-ID: x", nil, false},
		{"automatic", "Auto-Submitted: auto-generated\n", nil, false},
		{"automatic with parameter", "Auto-Submitted: auto-replied; owner-email=\"x\"\n", nil, false},
		{"not automatic", "Auto-Submitted: no (really)\n", nil, true},
		{"only in the body", "A: b\n\nList-Id: x\n", nil, true},
		{"many folds", "A: b\n" + strings.Repeat(" c\n", 30_000) + "Precedence: bulk\n", nil, false},
		{"a report of ours", "Subject: x\n", func(m *queue.Message) { m.Kind = queue.Report }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpool(t, nil)
			m := ordinary(to("bob@example.net", 0))
			if tt.change != nil {
				tt.change(m)
			}
			head := tt.header
			if !strings.Contains(head, "\n\n") && strings.HasSuffix(head, "\n") {
				head += "\n"
			}
			id := s.put(m, head)
			s.attempt("example.net", deferred)
			s.report(id)
			s.none(id) // too early
			s.now = m.NoticeAt
			s.report(id)
			if !tt.told {
				s.none(id)
				return
			}
			s.only(id, []string{"Action: delayed", "Will-Retry-Until: Mon, 09 Mar 2026 12:00:00 +0000", "Auto-Submitted: auto-generated", "450 4.2.1 greylisted", "YOU NEED NOT SEND IT AGAIN"})
			s.now = s.now.Add(time.Hour)
			s.report(id)
			s.only(id, nil)
			s.settled()
		})
	}
}

func TestDelayNoticeListsWhoIsWaiting(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("bob@example.net", 0), to("carol@example.org", 0), to("dave@example.com", 0), to("erin@example.info", queue.NotifyNever)), body)
	s.attempt("example.net", accepted)
	s.attempt("example.org", deferred)
	s.now = start.Add(5 * time.Hour)
	s.report(id)
	s.only(id, []string{"carol@", "dave@", "No attempt has come to an answer."}, "bob@", "erin@")
}

func TestNoDelayNoticeOnTheEdgeOfExpiry(t *testing.T) {
	s := newSpool(t, nil)
	id := s.put(ordinary(to("bob@example.net", 0)), body)
	s.now = start.Add(6 * 24 * time.Hour)
	s.report(id)
	if found := s.letters(id); len(found) > 0 {
		t.Errorf("reported:\n%s", found[0].text)
	}
}

func TestNullSenderIsNeverTold(t *testing.T) {
	s := newSpool(t, nil)
	m := ordinary(to("bob@example.net", 0))
	m.Envelope.ReversePath = address.Address{}
	id := s.put(m, body)
	s.attempt("example.net", refused)
	s.report(id)
	s.none(id)
	if len(s.entries()) != 0 {
		t.Errorf("queue has %d messages", len(s.entries()))
	}
	for _, w := range []string{"level=WARN", id.String(), "bob@example.net", "550 5.1.1 no such user"} {
		if !strings.Contains(s.log.String(), w) {
			t.Errorf("log lacks %q:\n%s", w, s.log.String())
		}
	}
}

// bounced queues a message that fails, and gives its report.
func bounced(t *testing.T, s *spool, from string) queue.ID {
	t.Helper()
	m := ordinary(to("bob@example.net", 0))
	m.Envelope.ReversePath = mailbox(from)
	id := s.put(m, body)
	s.attempt("example.net", refused)
	s.report(id)
	return s.only(id, nil).entry.Message.ID
}

func TestFailedReportGoesToPostmasterOnce(t *testing.T) {
	s := newSpool(t, nil)
	report := bounced(t, s, "alice@example.org")
	s.attempt("example.org", refused)
	s.report(report)
	s.report(report)
	l := s.only(report, []string{"Subject: Postmaster Copy: Undelivered Mail", "<alice@example.org>", "Subject: Undelivered Mail Returned to Sender", "At one?"})
	got := l.entry.Message
	if got.Kind != queue.PostmasterCopy || got.Recipients[0].Address != postmaster || !got.Envelope.ReversePath.IsNull() || !got.Expires.Equal(start.Add(5*24*time.Hour)) {
		t.Errorf("%+v", got)
	}
	s.attempt("example.com", refused)
	s.report(got.ID)
	s.none(got.ID)
	if n := len(s.entries()); n != 0 {
		t.Errorf("queue has %d messages", n)
	}
	if !strings.Contains(s.log.String(), "level=ERROR") || !strings.Contains(s.log.String(), got.ID.String()) {
		t.Errorf("log:\n%s", s.log.String())
	}
}

func TestFailedReportToPostmasterIsLogged(t *testing.T) {
	for _, from := range []string{"postmaster@example.com", "PostMaster@EXAMPLE.com"} {
		s := newSpool(t, nil)
		report := bounced(t, s, from)
		s.attempt(strings.SplitN(from, "@", 2)[1], refused)
		s.report(report)
		s.none(report)
		if !strings.Contains(s.log.String(), "level=ERROR") {
			t.Errorf("log:\n%s", s.log.String())
		}
	}
}

func TestWithoutPostmasterFailedReportIsLogged(t *testing.T) {
	s := newSpool(t, func(o *bounce.Options) { o.Postmaster = address.Address{} })
	report := bounced(t, s, "alice@example.org")
	s.attempt("example.org", refused)
	s.report(report)
	s.none(report)
}

// faulty fails where told.
type faulty struct {
	queue.Store
	create, body, settle error
}

func (f *faulty) Create(ctx context.Context) (queue.Draft, error) {
	if f.create != nil {
		return nil, f.create
	}
	return f.Store.Create(ctx)
}

func (f *faulty) Body(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if f.body != nil {
		return nil, f.body
	}
	return f.Store.Body(ctx, id)
}

func (f *faulty) Settle(ctx context.Context, s queue.Settlement, d queue.Draft, m *queue.Message) (queue.ID, error) {
	if f.settle != nil {
		return 0, f.settle
	}
	return f.Store.Settle(ctx, s, d, m)
}

func TestErrorsLeaveTheReportOwed(t *testing.T) {
	f := &faulty{}
	s := newSpool(t, func(o *bounce.Options) { f.Store, o.Store = o.Store, f })
	id := s.put(ordinary(to("bob@example.net", 0)), body)
	s.attempt("example.net", refused)
	broken := errors.New("broken")
	for _, set := range []func(){
		func() { *f = faulty{Store: f.Store, create: queue.ErrNoSpace} },
		func() { *f = faulty{Store: f.Store, body: broken} },
		func() { *f = faulty{Store: f.Store, settle: broken} },
	} {
		set()
		if err := s.reporter.Report(t.Context(), id); !errors.Is(err, broken) && !errors.Is(err, queue.ErrNoSpace) {
			t.Errorf("%v", err)
		}
		if n := len(s.letters(id)); n != 0 {
			t.Errorf("%d reports", n)
		}
	}
	*f = faulty{Store: f.Store}
	s.report(id)
	s.only(id, []string{"bob@example.net"})
	if err := s.reporter.Report(t.Context(), id+1000); err != nil {
		t.Errorf("unknown message: %v", err)
	}
}

// TestTotalMailIsBounded lets everything go wrong at random, some of it for ever,
// until the queue is empty, and counts what was ever queued.
func TestTotalMailIsBounded(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { bounded(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func bounded(t *testing.T, rnd *rand.Rand) {
	s := newSpool(t, nil)
	domains := []string{"example.com", "example.net", "example.org"}
	fates := []func(*queue.Message, queue.Recipient) queue.Outcome{refused, refused, deferred, accepted}
	bound := 0
	for range 6 {
		bound += s.putRandom(rnd, domains)
	}
	seen := make(map[queue.ID]bool)
	for round := 0; len(s.entries()) > 0; round++ {
		if round > 400 {
			t.Fatalf("the queue does not drain: %d left", len(s.entries()))
		}
		s.now = s.now.Add(2 * time.Hour)
		for _, domain := range domains {
			s.attempt(domain, fates[rnd.IntN(len(fates))])
		}
		for _, e := range s.entries() {
			seen[e.Message.ID] = true
			s.expire(e)
			s.report(e.Message.ID)
		}
	}
	if len(seen) > bound {
		t.Errorf("%d messages were queued, at most %d are right", len(seen), bound)
	}
}

// putRandom queues a message and gives the most messages that may come of it:
// each recipient told of once, one delay notice, a copy of each report.
func (s *spool) putRandom(rnd *rand.Rand, domains []string) int {
	senders := []string{"alice@example.com", "alice@example.org", "postmaster@example.com", "nobody@example.net", "@"}
	var recipients []queue.Recipient
	for i := range 1 + rnd.IntN(4) {
		notify := []queue.Notify{0, queue.NotifyNever, queue.NotifySuccess | queue.NotifyFailure | queue.NotifyDelay, queue.NotifySuccess}[rnd.IntN(4)]
		recipients = append(recipients, to(fmt.Sprintf("r%d@%s", i, domains[rnd.IntN(len(domains))]), notify))
	}
	m := ordinary(recipients...)
	m.Envelope.ReversePath = mailbox(senders[rnd.IntN(len(senders))])
	s.put(m, body)
	if m.Envelope.ReversePath.IsNull() {
		return 1
	}
	return 1 + 2*(len(recipients)+1)
}

// expire gives up what is over its time, as the scheduler does.
func (s *spool) expire(e queue.Entry) {
	if e.Message.Expires.After(s.now) {
		return
	}
	var outcomes []queue.Outcome
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if !r.Result.Ended() {
				outcomes = append(outcomes, queue.Outcome{Index: r.Index, Result: queue.Failed, Status: "5.4.7", Reply: "time is up", Owed: true})
			}
		}
	}
	if len(outcomes) == 0 {
		return
	}
	if err := s.store.Conclude(s.t.Context(), e.Message.ID, s.now, "expired", outcomes); err != nil {
		s.t.Fatal(err)
	}
}
