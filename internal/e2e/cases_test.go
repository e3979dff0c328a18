package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// cliCase is an invocation by a real program, or a probe, with what must come of it.
type cliCase struct {
	ID        string            `json:"id"`
	Topic     string            `json:"topic"`
	Argv      []string          `json:"argv"`
	Argv0     string            `json:"argv0"`
	Env       map[string]string `json:"env"`
	Role      string            `json:"uid_role"`
	Stdin     string            `json:"stdin"`
	StdinB64  string            `json:"stdin_b64"`
	FdsClosed []int             `json:"fds_closed"`
	Setup     caseSetup         `json:"setup"`
	Expect    caseExpect        `json:"expect"`
}

// caseSetup is what is different on the host.
type caseSetup struct {
	Aliases   string            `json:"aliases"`
	Files     map[string]string `json:"files"`
	Forward   map[string]string `json:"forward"`
	Daemon    string            `json:"daemon"` // "stopped"
	Queue     []cliCase         `json:"queue"`
	SizeLimit int               `json:"message_size_limit"`
	Denied    bool              `json:"submit_denied"`
	Full      string            `json:"queue_write_error"`
}

type caseExpect struct {
	Exit           int               `json:"exit"`
	ExitAny        bool              `json:"exit_any"`
	Recipients     []string          `json:"recipients"`
	Sender         *string           `json:"sender"`
	HeadersPresent []string          `json:"headers_present"`
	HeadersAbsent  []string          `json:"headers_absent"`
	HeadersRE      map[string]string `json:"headers_re"`
	HeaderCounts   map[string]int    `json:"header_counts"`
	BodyExact      *string           `json:"body_exact"`
	BodyB64        string            `json:"body_b64"`
	StdoutRE       string            `json:"stdout_re"`
	StderrRE       string            `json:"stderr_re"`
	Queued         *int              `json:"queued"`
	DSN            *caseDSN          `json:"dsn"`
	FilesAbsent    []string          `json:"files_absent"`
	Deliveries     []caseDelivery    `json:"deliveries"`
	Bounces        int               `json:"bounces"`
	Deferred       int               `json:"deferred"`
}

type caseDSN struct {
	Notify []string `json:"notify"`
	Ret    string   `json:"ret"`
	EnvID  string   `json:"envid"`
}

// caseDelivery is one place that mail must come to; one of the first four is set.
type caseDelivery struct {
	Mailbox string   `json:"mailbox"`
	File    string   `json:"file"`
	Pipe    []string `json:"pipe"`
	Remote  string   `json:"remote"`
	Count   int      `json:"count"`
	User    string   `json:"user"`
	Sender  string   `json:"sender"`
}

// special reports whether the case sets something up that other cases do not want.
func (c *cliCase) special() bool {
	return c.Setup.SizeLimit > 0 || c.Setup.Full != "" || c.Setup.Denied
}

// queued is how many messages the case must leave in the queue.
func (c *cliCase) queued() int {
	if c.Expect.Queued != nil {
		return *c.Expect.Queued
	}
	return min(len(c.Expect.Recipients), 1)
}

func (c *cliCase) input(t *testing.T) []byte {
	t.Helper()
	if c.StdinB64 == "" {
		return []byte(c.Stdin)
	}
	return decoded(t, c.StdinB64)
}

func decoded(t *testing.T, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loadCases gives the cases of a kind.
func loadCases(t *testing.T, fits func(*cliCase) bool) []*cliCase {
	t.Helper()
	var cases []*cliCase
	for _, file := range []string{"cli-cases.jsonl", "more-cases.jsonl"} {
		for line := range bytes.Lines(readFile(t, filepath.Join("testdata", file))) {
			c := new(cliCase)
			if err := json.Unmarshal(line, c); err != nil {
				t.Fatal(err)
			}
			if fits(c) {
				cases = append(cases, c)
			}
		}
	}
	if len(cases) == 0 {
		t.Fatal("no case is of this kind")
	}
	return cases
}

// needsDaemon are the cases that a host without a running daemon answers otherwise.
var needsDaemon = []string{"mode-mailq-empty", "mode-bp-empty", "mode-mailq-one", "mode-q", "mode-q-root"}

// TestCases: the programs do with each command line what its caller relies on, as
// the user who calls, through the daemon and, where that makes sense, without it.
func TestCases(t *testing.T) {
	t.Parallel()
	needRoot(t)
	// Nothing is at home here, and the relay is down: messages stay in the queue as
	// they came.
	stay := settings{"local_domains": `["nowhere.test"]`}
	plain := func(c *cliCase) bool { return c.Topic != "mode" && c.Topic != "alias" && !c.special() }
	modes := func(c *cliCase) bool { return c.Topic == "mode" && !c.special() }
	t.Run("daemon", func(t *testing.T) {
		t.Parallel()
		s := startStage(t, stay)
		s.each(t, loadCases(t, plain), s.submitted)
		s.checkReports()
	})
	t.Run("without", func(t *testing.T) {
		t.Parallel()
		s := startStage(t, stay)
		s.proc.stop()
		s.each(t, loadCases(t, plain), s.putBy)
		s.launchDaemon()
		s.each(t, loadCases(t, plain), s.takenUp)
		s.checkReports()
	})
	t.Run("modes", func(t *testing.T) {
		t.Parallel()
		s := startStage(t, nil)
		s.each(t, loadCases(t, func(c *cliCase) bool { return modes(c) && c.Setup.Daemon == "" }), s.submitted)
		s.proc.stop()
		s.each(t, loadCases(t, func(c *cliCase) bool { return modes(c) && !slices.Contains(needsDaemon, c.ID) }), s.putBy)
		s.launchDaemon()
		s.each(t, loadCases(t, func(c *cliCase) bool { return modes(c) && c.queued() > 0 && c.Setup.Daemon != "" }), s.takenUp)
	})
	t.Run("alias", func(t *testing.T) {
		t.Parallel()
		cases := loadCases(t, func(c *cliCase) bool { return c.Topic == "alias" })
		s := startStage(t, settings{"local_domains": `["example.org", "localhost"]`, "retry.first": `"1h"`, "retry.max": `"1h"`})
		s.each(t, cases, s.delivered)
	})
	for _, c := range loadCases(t, (*cliCase).special) {
		t.Run(c.ID, func(t *testing.T) {
			t.Parallel()
			s := specialStage(t, c)
			s.each(t, []*cliCase{c}, s.submitted)
		})
	}
}

// each runs fn with the cases, one after the other.
func (s *stage) each(t *testing.T, cases []*cliCase, fn func(*stage, *cliCase)) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) { fn(s.within(t), c) })
	}
}

// submitted runs a case while the daemon runs.
func (*stage) submitted(s *stage, c *cliCase) {
	start := s.ids()
	for i := range c.Setup.Queue {
		if r := s.call(&c.Setup.Queue[i]); r.code != 0 {
			s.t.Fatalf("could not queue what the case needs: %+v", r)
		}
	}
	before := s.ids()
	c.checkResult(s, s.call(c))
	items := s.since(before)
	if len(items) == 1 {
		c.checkQueued(s, items[0])
	}
	s.forget(c, s.since(start)...)
	if len(items) != c.queued() {
		s.t.Errorf("%d messages were queued, want %d", len(items), c.queued())
	}
}

// putBy runs a case while no daemon runs and puts the message aside: root's is in
// the spool already, another's in the maildrop.
func (*stage) putBy(s *stage, c *cliCase) {
	before := s.stored()
	c.checkResult(s, s.call(c))
	inSpool := slices.DeleteFunc(s.stored(), func(id string) bool { return slices.Contains(before, id) })
	dropped := s.maildrop()
	if n := len(inSpool) + len(dropped); n != c.queued() {
		s.t.Errorf("%d messages were queued, want %d", n, c.queued())
	}
	s.mkdir("aside-" + c.ID)
	for _, id := range inSpool {
		s.write("aside-"+c.ID+"/spool", id, 0o600)
	}
	for _, file := range dropped {
		s.rename(file, s.path("aside-"+c.ID+"/drop"))
	}
}

// takenUp checks what the daemon makes of a message that was put aside.
func (*stage) takenUp(s *stage, c *cliCase) {
	if c.queued() == 0 {
		return
	}
	before := s.ids()
	aside := s.path("aside-" + c.ID)
	spooled, err := os.ReadFile(filepath.Join(aside, "spool"))
	if err != nil {
		s.rename(filepath.Join(aside, "drop"), s.path("spool/maildrop/drop-"+c.ID))
		until(s.t, "the daemon takes it", func() bool { return len(s.ids()) > len(before) })
	}
	for _, i := range s.queue() {
		if id := i.ID.String(); err == nil && id == string(spooled) || err != nil && !slices.Contains(before, id) {
			c.checkQueued(s, i)
			s.forget(c, i)
			return
		}
	}
	s.t.Error("it is not in the queue")
}

// expand puts the case's directory for what it calls {TMP}.
func (s *stage) expand(text string) string { return strings.ReplaceAll(text, "{TMP}", s.tmp) }
