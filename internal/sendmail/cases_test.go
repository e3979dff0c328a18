package sendmail_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/config"
	"postrider/internal/maildrop"
	"postrider/internal/smtpd"
	"postrider/internal/submission"
	"postrider/queue"
	"postrider/queue/boltstore"
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
	Setup     map[string]any    `json:"setup"`
	Expect    struct {
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
		DSN            *struct {
			Notify []string `json:"notify"`
			Ret    string   `json:"ret"`
			EnvID  string   `json:"envid"`
		} `json:"dsn"`
		FilesAbsent []string `json:"files_absent"`
	} `json:"expect"`
}

// elsewhere are the cases that another program answers, or that need a whole
// system; TestModes has what of them is the command's own.
var elsewhere = map[string]string{
	"mode-mailq-empty": "postrider lists",
	"mode-bp-empty":    "postrider lists",
	"mode-mailq-one":   "postrider lists",
	"mode-q":           "postrider flushes",
	"mode-q-root":      "postrider flushes",
	"alias":            "the daemon delivers",
	"mode-queue-full":  "a file system with no room; TestDaemonRefuses has the daemon's answer",
}

func loadCases(t *testing.T) []cliCase {
	t.Helper()
	text, err := os.ReadFile("../e2e/testdata/cli-cases.jsonl")
	must(t, err)
	var cases []cliCase
	for line := range bytes.Lines(text) {
		var c cliCase
		must(t, json.Unmarshal(line, &c))
		if elsewhere[c.ID] == "" && elsewhere[c.Topic] == "" {
			cases = append(cases, c)
		}
	}
	return cases
}

// queued is a message as some way in got it.
type queued struct {
	sender     string
	recipients []string
	content    string
	envelope   queue.Envelope
	notify     queue.Notify
	sid        string
}

// way prepares a host to take messages by one of the ways and tells what it got.
type way struct {
	prepare func(t *testing.T, h *host) (collect func() []queued)
	// received: the way adds the trace field.
	received bool
}

var ways = map[string]way{
	"socket":   {prepare: openSocket},
	"spool":    {prepare: openSpool, received: true},
	"maildrop": {prepare: openMaildrop},
	"daemon":   {prepare: openDaemon, received: true},
}

func openSocket(_ *testing.T, h *host) func() []queued {
	s := h.serve(&server{})
	return func() (all []queued) {
		for _, m := range s.mails() {
			q := queued{sender: m.from, recipients: m.to, content: m.data,
				envelope: queue.Envelope{EnvID: m.opts.EnvelopeID, Ret: map[string]queue.Ret{"FULL": queue.RetFull, "HDRS": queue.RetHeaders}[string(m.opts.Return)]}}
			for _, n := range m.rcptOpts[0].Notify {
				q.notify |= map[string]queue.Notify{"NEVER": queue.NotifyNever, "SUCCESS": queue.NotifySuccess,
					"FAILURE": queue.NotifyFailure, "DELAY": queue.NotifyDelay}[string(n)]
			}
			all = append(all, q)
		}
		return all
	}
}

func openMaildrop(t *testing.T, h *host) func() []queued {
	needRoot(t)
	h.withMaildrop()
	return func() (all []queued) {
		quarantine := filepath.Join(h.spool, "quarantine")
		must(t, os.Mkdir(quarantine, 0o700))
		r := maildrop.Reader{Dir: h.maildir, Quarantine: quarantine, Logger: slog.New(slog.DiscardHandler),
			Accept: func(_ context.Context, d *maildrop.Drop) error {
				body, err := io.ReadAll(d)
				q := queued{sid: d.SID, sender: d.Sender.String(), content: string(body), notify: d.Recipients[0].Notify,
					envelope: queue.Envelope{EnvID: d.EnvID, Ret: d.Ret}}
				for _, r := range d.Recipients {
					q.recipients = append(q.recipients, r.Address.String())
				}
				all = append(all, q)
				return err
			}}
		n, err := r.Scan(t.Context())
		must(t, err)
		if left, err := maildrop.Quarantined(quarantine); err != nil || len(left) > 0 || n != len(all) {
			t.Errorf("quarantined: %v, error %v", left, err)
		}
		return all
	}
}

func openSpool(t *testing.T, h *host) func() []queued {
	return func() (all []queued) {
		path := filepath.Join(h.spool, "queue.db")
		if _, err := os.Stat(path); err != nil {
			return nil
		}
		store, err := boltstore.Open(path, boltstore.Options{})
		must(t, err)
		defer store.Close()
		return stored(t, store)
	}
}

// openDaemon runs what stands behind the submission socket in production.
func openDaemon(t *testing.T, h *host) func() []queued {
	cfg, err := config.Load(config.Source{Path: h.config})
	must(t, err)
	store, err := boltstore.Open(cfg.QueueDB(), boltstore.Options{})
	must(t, err)
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.DiscardHandler)
	intake := submission.New(submission.Options{Store: store, Router: cfg.Routes(), Hostname: cfg.Hostname, Origin: cfg.Origin,
		LocalDomains: cfg.LocalDomains, MaxSize: int64(cfg.Submission.MaxMessageSize), Lifetime: cfg.Retry.Lifetime.D(), Logger: log})
	server := smtpd.New(smtpd.Options{Intake: intake, Hostname: cfg.Hostname, MaxSize: int64(cfg.Submission.MaxMessageSize), Logger: log})
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.socket(), Net: "unix"})
	must(t, err)
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- server.ServeUnix(ctx, l) }()
	t.Cleanup(func() { cancel(); server.Shutdown(context.Background()); <-ended })
	return func() []queued { return stored(t, store) }
}

func stored(t *testing.T, store queue.Store) (all []queued) {
	t.Helper()
	entries, _, err := store.List(t.Context(), queue.Filter{}, 0, 100)
	must(t, err)
	for _, e := range entries {
		body, err := store.Body(t.Context(), e.Message.ID)
		must(t, err)
		content, err := io.ReadAll(body)
		must(t, err)
		body.Close()
		q := queued{sender: e.Message.Envelope.ReversePath.String(), content: string(content),
			envelope: e.Message.Envelope, notify: e.Message.Recipients[0].Notify}
		for _, r := range e.Message.Recipients {
			q.recipients = append(q.recipients, r.Address.String())
		}
		all = append(all, q)
	}
	return all
}

// callerUID is who plays a role. Only root can let others own a spool.
func callerUID(role string) int {
	if os.Getuid() != 0 {
		return os.Getuid()
	}
	return map[string]int{"root": 0, "user2": 1002, "user3": 1003, "service": 33}[role] + 1001*b2i(role == "user" || role == "")
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func TestCases(t *testing.T) {
	for _, c := range loadCases(t) {
		for name, w := range ways {
			if c.Setup["daemon"] == "stopped" && (name == "socket" || name == "daemon") {
				continue
			}
			t.Run(c.ID+"/"+name, func(t *testing.T) { c.run(t, name, w) })
		}
	}
}

func (c *cliCase) run(t *testing.T, name string, w way) {
	uid := callerUID(c.Role)
	if os.Getuid() != 0 && c.Role != "user" {
		t.Skip("only root can play other users")
	}
	extra := ""
	if limit, ok := c.Setup["message_size_limit"].(float64); ok {
		extra = "[submission]\nmax_message_size = \"" + strconv.Itoa(int(limit)) + "\"\n"
	}
	h := newHost(t, extra)
	collect := w.prepare(t, h)
	if name == "spool" {
		must(t, os.Chown(h.spool, uid, -1))
	}
	replace := strings.NewReplacer("{TMP}", h.dir)
	env := h.env()
	env.UID, env.EUID = uid, uid
	env.Args = []string{"sendmail"}
	if c.Argv0 != "" {
		env.Args[0] = c.Argv0
	}
	for _, a := range c.Argv {
		env.Args = append(env.Args, replace.Replace(a))
	}
	for k, v := range c.Env {
		env.Environ = append(env.Environ, k+"="+v)
	}
	env.Stdin = strings.NewReader(c.input(t))
	if name == "maildrop" && uid == 0 {
		t.Skip("root goes by the spool")
	}
	got := run(env)
	c.check(t, got, collect(), w.received)
	for _, f := range c.Expect.FilesAbsent {
		if _, err := os.Lstat(replace.Replace(f)); err == nil {
			t.Errorf("%s exists", f)
		}
	}
}

func (c *cliCase) input(t *testing.T) string {
	if c.StdinB64 == "" {
		return c.Stdin
	}
	b, err := base64.StdEncoding.DecodeString(c.StdinB64)
	must(t, err)
	return string(b)
}

func (c *cliCase) check(t *testing.T, got result, messages []queued, received bool) {
	x := &c.Expect
	if got.status != x.Exit && !x.ExitAny {
		t.Errorf("exit status %d, want %d; stderr: %s", got.status, x.Exit, got.stderr)
	}
	if !regexp.MustCompile(x.StdoutRE).MatchString(got.stdout) {
		t.Errorf("stdout %q does not match %q", got.stdout, x.StdoutRE)
	}
	if !regexp.MustCompile(x.StderrRE).MatchString(got.stderr) {
		t.Errorf("stderr %q does not match %q", got.stderr, x.StderrRE)
	}
	want := b2i(len(x.Recipients) > 0)
	if x.Queued != nil {
		want = *x.Queued
	}
	if len(messages) != want {
		t.Fatalf("%d messages were queued, want %d", len(messages), want)
	}
	if want == 1 {
		c.checkEnvelope(t, messages[0])
		c.checkContent(t, messages[0].content, received)
	}
}

func (c *cliCase) checkEnvelope(t *testing.T, m queued) {
	x := &c.Expect
	if x.Sender != nil && !sameAddress(m.sender, *x.Sender) {
		t.Errorf("sender %q, want %q", m.sender, *x.Sender)
	}
	want := slices.Clone(x.Recipients)
	slices.Sort(want)
	slices.Sort(m.recipients)
	if !slices.EqualFunc(m.recipients, want, sameAddress) {
		t.Errorf("recipients %q, want %q", m.recipients, want)
	}
	if x.DSN == nil {
		return
	}
	var notify queue.Notify
	for _, n := range x.DSN.Notify {
		notify |= map[string]queue.Notify{"NEVER": queue.NotifyNever, "SUCCESS": queue.NotifySuccess,
			"FAILURE": queue.NotifyFailure, "DELAY": queue.NotifyDelay}[n]
	}
	if m.notify != notify || string(m.envelope.Ret) != x.DSN.Ret || m.envelope.EnvID != x.DSN.EnvID {
		t.Errorf("notify %v ret %q envid %q, want %+v", m.notify, m.envelope.Ret, m.envelope.EnvID, *x.DSN)
	}
}

// sameAddress compares quoted and unquoted local parts alike.
func sameAddress(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, `"`, ""), strings.ReplaceAll(b, `"`, ""))
}

func (c *cliCase) checkContent(t *testing.T, content string, received bool) {
	x := &c.Expect
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
		if len(get(name)) == 0 && (name != "Received" || received) {
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
		if name == "Received" && !received {
			n--
		}
		if len(get(name)) != n {
			t.Errorf("%d %s, want %d", len(get(name)), name, n)
		}
	}
	want := x.BodyExact
	if x.BodyB64 != "" {
		b, err := base64.StdEncoding.DecodeString(x.BodyB64)
		must(t, err)
		s := string(b)
		want = &s
	}
	if want != nil && body != *want {
		t.Errorf("body is %.300q, want %.300q", body, *want)
	}
}

// needRoot skips a test for which the spool must be another's: where we are no
// root it is ours, and messages go into it.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("takes root: the spool would be ours")
	}
}
