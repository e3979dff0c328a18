package submission_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/submission"
	"postrider/queue"
	"postrider/queue/boltstore"
)

var clock = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

type router struct{}

func (router) Destination(from, to address.Address) string {
	return strings.ToLower(to.Domain) + " from " + from.Domain
}

// fixture is an intake with a real spool behind it.
type fixture struct {
	t      *testing.T
	store  queue.Store
	intake *submission.Intake
	log    bytes.Buffer
}

func setUp(t *testing.T, set func(*submission.Options)) *fixture {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "queue.db"), boltstore.Options{FreeFloor: 1, Ballast: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	f := &fixture{t: t, store: store}
	o := submission.Options{
		Store: store, Router: router{}, Hostname: "mx.test", Origin: "origin.test",
		LocalDomains: []string{"Local.test"}, Lifetime: 5 * time.Hour, BounceLifetime: time.Hour, DelayNotice: time.Minute,
		Now:        func() time.Time { return clock },
		Logger:     slog.New(slog.NewTextHandler(&f.log, nil)),
		LookupUser: func(uid int) (string, string) { return "alice", "Alice Example" },
	}
	if set != nil {
		set(&o)
	}
	f.intake = submission.New(o)
	return f
}

func addr(s string) address.Address {
	local, domain, _ := strings.Cut(s, "@")
	return address.Address{Local: local, Domain: domain}
}

func to(addrs ...string) (rcpts []queue.Recipient) {
	for _, a := range addrs {
		rcpts = append(rcpts, queue.Recipient{Address: addr(a)})
	}
	return rcpts
}

var (
	localOrigin  = queue.Origin{Via: queue.ViaSocket, UID: 1001, PID: 7}
	remoteOrigin = queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, Client: "192.0.2.1:4000", Hello: "c.test"}
	nearOrigin   = queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, Client: "[::1]:4000", Hello: "c.test"}
)

func message(from string, body string, rcpts ...string) *submission.Submission {
	s := &submission.Submission{Origin: localOrigin, Recipients: to(rcpts...), Body: strings.NewReader(body)}
	if from != "" {
		s.Envelope.ReversePath = addr(from)
	}
	return s
}

func (f *fixture) entry(id queue.ID) *queue.Entry {
	f.t.Helper()
	e, err := f.store.Get(context.Background(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return e
}

func (f *fixture) body(id queue.ID) string {
	f.t.Helper()
	r, err := f.store.Body(context.Background(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		f.t.Fatal(err)
	}
	return string(b)
}

func (f *fixture) accept(s *submission.Submission) queue.ID {
	f.t.Helper()
	id, err := f.intake.Accept(context.Background(), s)
	if err != nil {
		f.t.Fatal(err)
	}
	return id
}

// empty checks that nothing was left behind.
func (f *fixture) empty() {
	f.t.Helper()
	st, err := f.store.Stats(context.Background())
	if err != nil || st.Messages != 0 || st.Bytes != 0 {
		f.t.Errorf("left behind: %+v, %v", st, err)
	}
	if err := f.store.Check(context.Background()); err != nil {
		f.t.Error(err)
	}
}

func TestAcceptFixedUp(t *testing.T) {
	f := setUp(t, nil)
	s := message("alice", "Subject: x\r\nBcc: hidden\r\n\r\nhi\r\n", "bob", "carol@Local.test", "bob@ORIGIN.test")
	s.Fixup = true
	id := f.accept(s)
	want := "Received: by mx.test (postrider, from userid 1001)\n\tid " + id.String() + "; Wed, 04 Mar 2026 05:06:07 +0000\n" +
		"Subject: x\n" +
		"Message-ID: <20260304050607." + id.String() + "@mx.test>\n" +
		"Date: Wed, 04 Mar 2026 05:06:07 +0000\n" +
		"From: Alice Example <alice@origin.test>\n\nhi\n"
	if got := f.body(id); got != want {
		t.Errorf("stored\n%s\nwant\n%s", got, want)
	}
	e := f.entry(id)
	m := e.Message
	if m.MessageID != "<20260304050607."+id.String()+"@mx.test>" || m.Size != int64(len(want)) || m.Origin != localOrigin {
		t.Errorf("message %+v", m)
	}
	if !m.Arrival.Equal(clock) || !m.Expires.Equal(clock.Add(5*time.Hour)) || !m.NoticeAt.Equal(clock.Add(time.Minute)) {
		t.Errorf("times %v, %v, %v", m.Arrival, m.Expires, m.NoticeAt)
	}
	if got := fmt.Sprint(m.Envelope.ReversePath, len(m.Recipients), m.Recipients[0].Address, m.Recipients[1].Address); got != "alice@origin.test 2 bob@origin.test carol@Local.test" {
		t.Errorf("envelope %s", got)
	}
	var destinations []string
	for _, d := range e.Deliveries {
		destinations = append(destinations, d.Destination)
	}
	if got := strings.Join(destinations, ", "); got != "origin.test from origin.test, local.test from origin.test" {
		t.Errorf("destinations %s", got)
	}
	if line := f.log.String(); !strings.Contains(line, "id="+id.String()) || !strings.Contains(line, "from=alice@origin.test") {
		t.Errorf("log %q", line)
	}
}

func TestAcceptAsIs(t *testing.T) {
	f := setUp(t, nil)
	s := message("a@c.test", "Subject: x\n\nhi\n", "b@local.test")
	s.Origin = nearOrigin
	s.Protocol = submission.Protocol{ESMTP: true, TLS: true}
	id := f.accept(s)
	want := "Received: from c.test ([IPv6:::1])\n\tby mx.test (postrider) with ESMTPS id " + id.String() + "; Wed, 04 Mar 2026 05:06:07 +0000\n" +
		"Subject: x\n\nhi\n"
	if got := f.body(id); got != want {
		t.Errorf("stored\n%s\nwant\n%s", got, want)
	}
}

func TestAuthorOfAddedFrom(t *testing.T) {
	name := "Given"
	tests := []struct {
		sender   string
		fullName *string
		want     string
	}{
		{"bob@c.test", nil, "From: Alice Example <bob@c.test>\n"},
		{"bob@c.test", &name, "From: Given <bob@c.test>\n"},
		{"bob@c.test", new(string), "From: bob@c.test\n"},
		{"", &name, "From: MAILER-DAEMON@origin.test\n"},
	}
	for _, tt := range tests {
		f := setUp(t, nil)
		s := message(tt.sender, "\n", "b")
		s.Fixup, s.FullName = true, tt.fullName
		if got := f.body(f.accept(s)); !strings.Contains(got, tt.want) {
			t.Errorf("%q: want %q in\n%s", tt.sender, tt.want, got)
		}
	}
}

func TestEnvelopeFlags(t *testing.T) {
	tests := []struct {
		from, rcpt, body string
		utf8             bool
		kind             queue.Body
	}{
		{"a@c.test", "b@local.test", "\nascii\n", false, queue.Body7Bit},
		{"ä@c.test", "b@local.test", "\nascii\n", true, queue.Body7Bit},
		{"a@c.test", "ü@local.test", "\nascii\n", true, queue.Body7Bit},
		{"a@ä.test", "b@ü.test", "Subject: ä\n\nascii\n", false, queue.Body7Bit},
		{"a@c.test", "b@local.test", "\ngrün\n", false, queue.Body8BitMIME},
	}
	for _, tt := range tests {
		f := setUp(t, nil)
		e := f.entry(f.accept(message(tt.from, tt.body, tt.rcpt))).Message.Envelope
		if e.SMTPUTF8 != tt.utf8 || e.Body != tt.kind {
			t.Errorf("%+v: got %v, %v", tt, e.SMTPUTF8, e.Body)
		}
	}
}

func TestNoticesAndLifetime(t *testing.T) {
	tests := []struct {
		name, from, header string
		lifetime           time.Duration
		notice             bool
	}{
		{"ordinary", "a@c.test", "", 5 * time.Hour, true},
		{"bulk", "a@c.test", "Precedence: bulk\n", 5 * time.Hour, false},
		{"list", "a@c.test", "List-Id: <x>\n", 5 * time.Hour, false},
		{"null sender", "", "", time.Hour, false},
	}
	for _, tt := range tests {
		f := setUp(t, nil)
		m := f.entry(f.accept(message(tt.from, tt.header+"\nx\n", "b"))).Message
		if m.Expires.Sub(clock) != tt.lifetime || m.NoticeAt.IsZero() == tt.notice {
			t.Errorf("%s: expires after %v, notice %v", tt.name, m.Expires.Sub(clock), m.NoticeAt)
		}
	}
}

func TestMergedRecipients(t *testing.T) {
	const success, failure, delay, never = queue.NotifySuccess, queue.NotifyFailure, queue.NotifyDelay, queue.NotifyNever
	tests := []struct{ a, b, want queue.Notify }{
		{0, 0, 0},
		{0, success, success | failure | delay},
		{success, 0, success | failure | delay},
		{success, failure, success | failure},
		{never, 0, 0},
		{0, never, 0},
		{never, success, success},
		{failure, never, failure},
		{never, never, never},
	}
	for _, tt := range tests {
		f := setUp(t, nil)
		s := message("a@c.test", "\n", "b@local.test", "B@local.test", "b@LOCAL.test")
		s.Recipients[0].Notify = tt.a
		s.Recipients[2].Notify, s.Recipients[2].Original = tt.b, "rfc822;orig"
		rcpts := f.entry(f.accept(s)).Message.Recipients
		want := queue.Recipient{Address: addr("b@local.test"), Notify: tt.want, Original: "rfc822;orig"}
		if len(rcpts) != 2 || !reflect.DeepEqual(rcpts[0], want) {
			t.Errorf("%v and %v: got %+v", tt.a, tt.b, rcpts)
		}
		if s.Recipients[0].Notify != tt.a {
			t.Error("submission was changed")
		}
	}
}

func TestSameSubmissionTwice(t *testing.T) {
	f := setUp(t, nil)
	var ids []queue.ID
	for range 2 {
		s := message("a@c.test", "\nx\n", "b")
		s.SubmissionID = "abcd1234"
		ids = append(ids, f.accept(s))
	}
	if st, err := f.store.Stats(context.Background()); ids[0] != ids[1] || err != nil || st.Messages != 1 {
		t.Errorf("ids %v, %+v, %v", ids, st, err)
	}
}

// TestLoop: a program of this host gets its looping mail back, a client is refused.
func TestLoop(t *testing.T) {
	looping := strings.Repeat("Received: x\n", 51) + "\nx\n"
	f := setUp(t, nil)
	s := message("a@c.test", looping, "b@local.test", "c@local.test")
	s.Recipients[1].Notify = queue.NotifyNever
	e := f.entry(f.accept(s))
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if r.Result != queue.Failed || r.Status != "5.4.6" || r.Owed != (r.Index == 0) {
				t.Errorf("recipient %+v", r)
			}
		}
	}
	leases, err := f.store.Claim(context.Background(), queue.Claim{Destination: "local.test from c.test", Owner: "t", Now: clock, Until: clock.Add(time.Hour), Max: 10})
	if err != nil || len(leases) != 0 {
		t.Errorf("claimed %v, %v", leases, err)
	}
	f.accept(message("a@c.test", strings.TrimPrefix(looping, "Received: x\n"), "b@local.test")) // 50 are fine

	f = setUp(t, nil)
	s = message("a@c.test", looping, "b@local.test")
	s.Origin = remoteOrigin
	_, err = f.intake.Accept(context.Background(), s)
	checkError(t, "loop from a client", err, 554, "5.4.6", 69)
	f.empty()
}

// FuzzAccept checks that whatever is handed in is stored behind exactly one trace
// field of ours, with LF line ends, or refused as a whole.
func FuzzAccept(f *testing.F) {
	f.Add("Subject: x\r\n\r\nhi\r\n", true)
	f.Add("From a@b\n\x00: \r\r\nno header", false)
	store, err := boltstore.Open(filepath.Join(f.TempDir(), "queue.db"), boltstore.Options{FreeFloor: 1, Ballast: -1})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { store.Close() })
	intake := submission.New(submission.Options{Store: store, Router: router{}, Hostname: "mx.test",
		Origin: "origin.test", Lifetime: time.Hour, Logger: slog.New(slog.DiscardHandler)})
	f.Fuzz(func(t *testing.T, text string, fixup bool) {
		fx := &fixture{t: t, store: store, intake: intake}
		s := message("a@c.test", text, "b@local.test")
		s.Fixup = fixup
		body := fx.body(fx.accept(s))
		if !strings.HasPrefix(body, "Received: by mx.test (postrider, from userid 1001)\n\tid ") {
			t.Fatalf("no trace: %q", body)
		}
		if strings.Contains(body, "\r\n") || !strings.Contains(body, "\n\n") {
			t.Fatalf("stored %q", body)
		}
	})
}
