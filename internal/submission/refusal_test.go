package submission_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"postrider/internal/address"
	"postrider/internal/submission"
	"postrider/queue"
)

func checkError(t *testing.T, name string, err error, code int, status string, exit int) {
	t.Helper()
	e, ok := errors.AsType[*submission.Error](err)
	if !ok {
		t.Errorf("%s: error %v", name, err)
		return
	}
	if e.Code != code || e.Status != status || e.Exit != exit || e.Text == "" || strings.Contains(e.Text, "\n") || e.Temporary() != (code < 500) {
		t.Errorf("%s: got %+v, want %d %s, exit %d", name, *e, code, status, exit)
	}
}

// brokenStore fails where told.
type brokenStore struct {
	queue.Store
	create, write, commit error
}

type brokenDraft struct {
	queue.Draft
	s *brokenStore
}

func (s *brokenStore) Create(ctx context.Context) (queue.Draft, error) {
	if s.create != nil {
		return nil, s.create
	}
	d, err := s.Store.Create(ctx)
	return &brokenDraft{d, s}, err
}

func (d *brokenDraft) Write(p []byte) (int, error) {
	if d.s.write != nil {
		return 0, d.s.write
	}
	return d.Draft.Write(p)
}

func (d *brokenDraft) Commit(ctx context.Context, m *queue.Message, dest []string) (queue.ID, error) {
	if d.s.commit != nil {
		return 0, d.s.commit
	}
	return d.Draft.Commit(ctx, m, dest)
}

func TestRefusals(t *testing.T) {
	store := func(b brokenStore) func(*submission.Options) {
		return func(o *submission.Options) { b.Store, o.Store = o.Store, &b }
	}
	tests := []struct {
		name   string
		set    func(*submission.Options)
		submit func(*submission.Submission)
		code   int
		status string
		exit   int
	}{
		{"no recipients", nil, func(s *submission.Submission) { s.Recipients = nil }, 554, "5.5.1", 64},
		{"empty recipient", nil, func(s *submission.Submission) { s.Recipients = to("") }, 553, "5.1.3", 64},
		{"endless recipient", nil, func(s *submission.Submission) { s.Recipients = to(strings.Repeat("x", 2000)) }, 553, "5.1.3", 65},
		{"endless sender", nil, func(s *submission.Submission) { s.Envelope.ReversePath = addr(strings.Repeat("x", 2000) + "@y") }, 553, "5.1.7", 65},
		{"relaying", nil, func(s *submission.Submission) { s.Origin = remoteOrigin; s.Recipients = to("b@c.test") }, 554, "5.7.1", 77},
		{"relaying for nobody known", nil, func(s *submission.Submission) {
			s.Origin = remoteOrigin
			s.Origin.Client = ""
			s.Recipients = to("b@c.test")
		}, 554, "5.7.1", 77},
		{"too many recipients", func(o *submission.Options) { o.MaxRecipients = 1 },
			func(s *submission.Submission) { s.Origin = nearOrigin; s.Recipients = to("a@x", "b@x") }, 452, "4.5.3", 75},
		{"too large", func(o *submission.Options) { o.MaxSize = 300_000 },
			func(s *submission.Submission) { s.Body = strings.NewReader(strings.Repeat("x\n", 150_000)) }, 552, "5.3.4", 69},
		{"too much header", nil, func(s *submission.Submission) {
			s.Origin = nearOrigin
			s.Body = strings.NewReader(strings.Repeat("X: y\n", 150_000) + "\nhi\n")
		}, 552, "5.3.4", 65},
		{"broken off", nil, func(s *submission.Submission) {
			s.Body = io.MultiReader(strings.NewReader("\n"+strings.Repeat("x\n", 200_000)), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, 451, "4.4.2", 75},
		{"broken off in the header", nil, func(s *submission.Submission) { s.Body = iotest.ErrReader(io.ErrUnexpectedEOF) }, 451, "4.4.2", 75},
		{"disk full at the start", store(brokenStore{create: queue.ErrNoSpace}), nil, 452, "4.3.1", 75},
		{"disk full in the body", store(brokenStore{write: queue.ErrNoSpace}), nil, 452, "4.3.1", 75},
		{"disk full at the end", store(brokenStore{commit: queue.ErrNoSpace}), nil, 452, "4.3.1", 75},
		{"storage failed", store(brokenStore{commit: queue.ErrFailed}), nil, 451, "4.3.0", 75},
		{"shutting down", store(brokenStore{commit: context.Canceled}), nil, 421, "4.3.2", 75},
	}
	for _, tt := range tests {
		f := setUp(t, tt.set)
		s := message("a@c.test", "Subject: x\n\n"+strings.Repeat("line\n", 100_000), "b@local.test")
		if tt.submit != nil {
			tt.submit(s)
		}
		id, err := f.intake.Accept(context.Background(), s)
		checkError(t, tt.name, err, tt.code, tt.status, tt.exit)
		if id != 0 {
			t.Errorf("%s: id %v", tt.name, id)
		}
		f.empty()
	}
}

func TestMayRelay(t *testing.T) {
	f := setUp(t, func(o *submission.Options) {
		o.LocalDomains = append(o.LocalDomains, "B\u00fccher.test", "Dot.test.")
	})
	tests := []struct {
		origin queue.Origin
		to     string
		ok     bool
	}{
		{localOrigin, "x@elsewhere.test", true},
		{nearOrigin, "x@elsewhere.test", true},
		{queue.Origin{Via: queue.ViaSMTP, Client: "[::ffff:127.0.0.1]:9"}, "x@elsewhere.test", true},
		{queue.Origin{Via: queue.ViaMaildrop, UID: 5}, "x@elsewhere.test", true},
		{remoteOrigin, "x@elsewhere.test", false},
		{remoteOrigin, "x@sub.local.test", false},
		{remoteOrigin, "x@LOCAL.TEST", true},
		{remoteOrigin, "x@origin.test", false},
		{remoteOrigin, "Postmaster", true},
		{remoteOrigin, "x@b\u00fccher.test", true},
		{remoteOrigin, "x@xn--bcher-kva.test", true},
		{remoteOrigin, "x@XN--BCHER-KVA.test", true},
		{remoteOrigin, "x@dot.test", true},
	}
	for _, tt := range tests {
		_, err := f.intake.CheckRecipient(tt.origin, addr(tt.to))
		if (err == nil) != tt.ok {
			t.Errorf("%+v to %s: %v", tt.origin, tt.to, err)
		}
	}
}

// TestUnknownRecipients: strangers are told at once, so that nothing of theirs has
// to be returned; who may relay gets a report.
func TestUnknownRecipients(t *testing.T) {
	f := setUp(t, func(o *submission.Options) {
		o.Unknown = func(a address.Address) string {
			if a.Local == "nobody" {
				return "no such user here"
			}
			return ""
		}
	})
	_, err := f.intake.CheckRecipient(remoteOrigin, addr("nobody@local.test"))
	checkError(t, "unknown", err, 550, "5.1.1", 67)
	for name, tt := range map[string]struct {
		origin queue.Origin
		to     string
	}{"known": {remoteOrigin, "b@local.test"}, "from this host": {nearOrigin, "nobody@local.test"}, "from a program": {localOrigin, "nobody@local.test"}} {
		if _, err := f.intake.CheckRecipient(tt.origin, addr(tt.to)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLocalDomainsAreReplaced: what is no longer at home here is relayed for nobody.
func TestLocalDomainsAreReplaced(t *testing.T) {
	f := setUp(t, nil)
	stranger := queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, Client: "192.0.2.1:1234"}
	for _, domains := range [][]string{{"local.test"}, {"New.test."}} {
		f.intake.SetLocalDomains(domains)
		home := strings.ToLower(strings.TrimSuffix(domains[0], "."))
		for _, d := range []string{"local.test", "new.test"} {
			_, err := f.intake.CheckRecipient(stranger, addr("a@"+d))
			if (err == nil) != (d == home) {
				t.Errorf("local domains %v: mail to %s: %v", domains, d, err)
			}
		}
	}
}
