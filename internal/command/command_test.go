package command_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/command"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// The test binary is also the program that a daemon starts as its helper.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "local-helper" {
		os.Exit(command.Run("test", os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// host is a configured host without a daemon.
type host struct {
	dir, config string
}

func newHost(t *testing.T, extra string) host {
	t.Helper()
	dir := t.TempDir()
	h := host{dir: dir, config: filepath.Join(dir, "postrider.toml")}
	text := fmt.Sprintf("hostname = \"host.test\"\nspool = %q\nrun_dir = %q\n%s", filepath.Join(dir, "spool"), filepath.Join(dir, "run"), extra)
	if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return h
}

// queue puts messages into the spool and gives their IDs.
func (h host) queue(t *testing.T, recipients ...string) []string {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(h.dir, "spool"), 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := boltstore.Open(filepath.Join(h.dir, "spool", "queue.db"), boltstore.Options{Ballast: -1, FreeFloor: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var ids []string
	for _, to := range recipients {
		local, domain, _ := strings.Cut(to, "@")
		d, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(d, "Subject: x\n\nhello\n"); err != nil {
			t.Fatal(err)
		}
		id, err := d.Commit(t.Context(), &queue.Message{Origin: queue.Origin{UID: 1}, Arrival: time.Now(), Expires: time.Now().Add(time.Hour),
			Envelope:   queue.Envelope{ReversePath: address.Address{Local: "a", Domain: "host.test"}},
			Recipients: []queue.Recipient{{Address: address.Address{Local: local, Domain: domain}}}}, []string{domain})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id.String())
	}
	return ids
}

func (h host) run(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = command.Run("1.0", append([]string{"-C", h.config}, args...), strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestQueueWithoutDaemon(t *testing.T) {
	h := newHost(t, "")
	ids := h.queue(t, "x@one.test", "y@two.test", "z@two.test")
	for _, tt := range []struct {
		args  []string
		stdin string
		want  []string // IDs by index that must be listed, in this order
	}{
		{[]string{"queue", "list", "--json"}, "", ids},
		{[]string{"queue", "list", "--json", "--domain", "two.test"}, "", ids[1:]},
		{[]string{"queue", "list", "--json", "--domain", "two.test", "--recipient", "z@two.test"}, "", ids[2:]},
		{[]string{"queue", "list", "--json", "--state", "held"}, "", nil},
		{[]string{"queue", "list", "--json", "--older", "1h"}, "", nil},
		{[]string{"queue", "list", "--json", "--newer", "1h"}, "", ids},
		{[]string{"queue", "list", "--json", "-"}, ids[0] + "*\n" + ids[2] + "\n", []string{ids[0], ids[2]}},
		{[]string{"mailq", "--json"}, "", ids},
	} {
		code, out, errs := h.run(tt.stdin, tt.args...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if out == "" {
			lines = nil
		}
		if code != 0 || len(lines) != len(tt.want) {
			t.Errorf("%q: exit %d, %q, %q", tt.args, code, out, errs)
			continue
		}
		for i, id := range tt.want {
			if !strings.HasPrefix(lines[i], `{"id":"`+id+`"`) {
				t.Errorf("%q: line %d is %s, want %s", tt.args, i, lines[i], id)
			}
		}
	}
	if code, out, _ := h.run("", "queue", "cat", ids[0]); code != 0 || out != "Subject: x\n\nhello\n" {
		t.Errorf("cat: exit %d, %q", code, out)
	}
	if code, out, _ := h.run("", "queue", "show", ids[0]); code != 0 || !strings.Contains(out, "x@one.test") {
		t.Errorf("show: exit %d, %q", code, out)
	}
	if code, _, errs := h.run("", "queue", "delete", ids[0]); code != 0 || errs != "deleted: 1 message (in the spool itself: no daemon is running)\n" {
		t.Errorf("delete: exit %d, %q", code, errs)
	}
	if _, out, _ := h.run("", "mailq"); strings.Contains(out, ids[0]) || !strings.Contains(out, "in 2 Requests.") {
		t.Errorf("mailq: %q", out)
	}
}

// TestMistakes has one case a mistake, with exit status and what must be said.
func TestMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		queued bool
		args   []string
		code   int
		says   string
	}{
		"unknown command":     {"", false, []string{"quue"}, 64, "quue"},
		"unknown verb":        {"", false, []string{"queue", "lst"}, 64, "lst"},
		"unknown flag":        {"", false, []string{"queue", "list", "--domian", "x"}, 64, "domian"},
		"no queue id":         {"", true, []string{"queue", "show", "xyz"}, 64, "12 hexadecimal digits"},
		"unknown queue id":    {"", true, []string{"queue", "show", "000000000001"}, 65, "no such message"},
		"unknown state":       {"", true, []string{"queue", "list", "--state", "lost"}, 64, "queued, active, deferred or held"},
		"bad age":             {"", true, []string{"queue", "list", "--older", "old"}, 64, "time span"},
		"delete of nothing":   {"", true, []string{"queue", "delete"}, 64, "--all"},
		"empty stdin":         {"", true, []string{"queue", "list", "-"}, 64, "no queue ids"},
		"no spool":            {"", false, []string{"queue", "list"}, 69, "there is no spool"},
		"flush without":       {"", true, []string{"queue", "flush"}, 69, "daemon is not running"},
		"configuration typo":  {"hostnam = \"x\"\n", false, []string{"config", "check"}, 78, `did you mean "hostname"`},
		"typo stops a daemon": {"[retry]\nfist = \"1m\"\n", false, []string{"daemon"}, 78, `did you mean "retry.first"`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, tt.config)
			if tt.queued {
				h.queue(t, "x@one.test")
			}
			code, out, errs := h.run("", tt.args...)
			if code != tt.code || !strings.Contains(errs, tt.says) || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "postrider: ") {
				t.Errorf("exit %d (want %d), stdout %q, stderr %q", code, tt.code, out, errs)
			}
		})
	}
}

func TestForeignSpoolIsLeftAlone(t *testing.T) {
	h := newHost(t, "submission.listen = []\n")
	path := filepath.Join(h.dir, "spool", "queue.db")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	text := []byte(strings.Repeat("this is somebody's diary\n", 1000))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"queue", "list"}, {"daemon"}} {
		code, _, errs := h.run("", args...)
		if code != 78 || strings.Count(errs, "\n") != 1 {
			t.Errorf("%q: exit %d, %q", args, code, errs)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, text) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestConfigShowSaysWhereFrom(t *testing.T) {
	h := newHost(t, "")
	t.Setenv("POSTRIDER_RETRY_FIRST", "3m")
	code, out, _ := h.run("", "config", "show")
	for _, want := range []string{`retry.first = "3m"`, "# POSTRIDER_RETRY_FIRST", `hostname = "host.test"`, "# " + h.config, "# default"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
}

func TestVersion(t *testing.T) {
	if code, out, _ := newHost(t, "").run("", "version"); code != 0 || out != "postrider 1.0\n" {
		t.Errorf("exit %d, %q", code, out)
	}
}
