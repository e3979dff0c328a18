package e2e

import (
	"bufio"
	"net/textproto"
	"os"
	"regexp"
	"slices"
	"strings"

	"postrider/queue"
)

// checkResult checks what the command said and left.
func (c *cliCase) checkResult(s *stage, got result) {
	t, x := s.t, &c.Expect
	t.Helper()
	if got.code != x.Exit && !x.ExitAny {
		t.Errorf("exit status %d, want %d; stderr: %s", got.code, x.Exit, got.stderr)
	}
	if !regexp.MustCompile(x.StdoutRE).MatchString(got.stdout) {
		t.Errorf("stdout %q does not match %q", got.stdout, x.StdoutRE)
	}
	if !regexp.MustCompile(x.StderrRE).MatchString(got.stderr) {
		t.Errorf("stderr %q does not match %q", got.stderr, x.StderrRE)
	}
	for _, f := range append(x.FilesAbsent, "/tmp/owned") {
		if _, err := os.Lstat(s.expand(f)); err == nil {
			t.Errorf("%s exists", f)
		}
	}
}

// checkQueued checks a message in the queue.
func (c *cliCase) checkQueued(s *stage, got item) {
	t, x := s.t, &c.Expect
	t.Helper()
	if x.Sender != nil && !sameAddress(got.Sender, *x.Sender) {
		t.Errorf("sender %q, want %q", got.Sender, *x.Sender)
	}
	var recipients []string
	for _, r := range got.Recipients {
		recipients = append(recipients, r.Address)
	}
	want := slices.Clone(x.Recipients)
	slices.Sort(want)
	slices.Sort(recipients)
	if !slices.EqualFunc(recipients, want, sameAddress) {
		t.Errorf("recipients %q, want %q", recipients, want)
	}
	if got.UID == nil || *got.UID != accounts[c.Role] {
		t.Errorf("uid %v, want %d", got.UID, accounts[c.Role])
	}
	r := s.postrider("queue", "cat", got.ID.String())
	if r.code != 0 {
		t.Fatalf("queue cat: %s", r.stderr)
	}
	c.checkContent(s, r.stdout)
}

// sameAddress compares quoted and unquoted local parts alike.
func sameAddress(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, `"`, ""), strings.ReplaceAll(b, `"`, ""))
}

func (c *cliCase) checkContent(s *stage, content string) {
	t, x := s.t, &c.Expect
	t.Helper()
	head, body, ok := strings.Cut(content, "\n\n")
	if !ok {
		t.Fatalf("no blank line in %q", content)
	}
	fields, err := textproto.NewReader(bufio.NewReader(strings.NewReader(head + "\n\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatalf("header %q: %v", head, err)
	}
	get := func(name string) []string { return fields[textproto.CanonicalMIMEHeaderKey(name)] }
	for _, name := range x.HeadersPresent {
		if len(get(name)) == 0 {
			t.Errorf("no %s in\n%s", name, head)
		}
	}
	for _, name := range x.HeadersAbsent {
		if len(get(name)) > 0 {
			t.Errorf("%s: %q", name, get(name))
		}
	}
	for name, re := range x.HeadersRE {
		re = strings.ReplaceAll(re, "y{1500}", "y{750}y{750}") // Go counts to 1000
		if !slices.ContainsFunc(get(name), regexp.MustCompile(re).MatchString) {
			t.Errorf("%s is %q, want %q", name, get(name), re)
		}
	}
	for name, n := range x.HeaderCounts {
		if len(get(name)) != n {
			t.Errorf("%d %s, want %d", len(get(name)), name, n)
		}
	}
	want := x.BodyExact
	if x.BodyB64 != "" {
		text := string(decoded(t, x.BodyB64))
		want = &text
	}
	if want != nil && body != *want {
		t.Errorf("body is %.300q, want %.300q", body, *want)
	}
}

// checkReports stops the daemon and looks at what was recorded of the reports that
// callers asked for.
func (s *stage) checkReports() {
	s.t.Helper()
	s.proc.stop()
	want := len(loadCases(s.t, func(c *cliCase) bool { return c.Expect.DSN != nil }))
	s.inSpool(func(e queue.Entry) {
		if c := s.kept[e.Message.ID]; c != nil {
			want--
			c.checkReport(s, e.Message)
		}
	})
	if want != 0 {
		s.t.Errorf("%d messages that ask for reports are missing", want)
	}
}

func (c *cliCase) checkReport(s *stage, m *queue.Message) {
	s.t.Helper()
	var notify queue.Notify
	for _, n := range c.Expect.DSN.Notify {
		notify |= map[string]queue.Notify{"NEVER": queue.NotifyNever, "SUCCESS": queue.NotifySuccess,
			"FAILURE": queue.NotifyFailure, "DELAY": queue.NotifyDelay}[n]
	}
	for _, r := range m.Recipients {
		if r.Notify != notify || string(m.Envelope.Ret) != c.Expect.DSN.Ret || m.Envelope.EnvID != c.Expect.DSN.EnvID {
			s.t.Errorf("%s: notify %v ret %q envid %q, want %+v", c.ID, r.Notify, m.Envelope.Ret, m.Envelope.EnvID, *c.Expect.DSN)
		}
	}
}
