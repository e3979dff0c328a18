package sendmail_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withAliases writes an alias file, {TMP} in it being the host's directory, and
// gives the configuration that names it.
func (h *host) withAliases(text string) *host {
	h.t.Helper()
	path := filepath.Join(h.dir, "aliases")
	must(h.t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "{TMP}", h.dir)), 0o644))
	f, err := os.OpenFile(h.config, os.O_APPEND|os.O_WRONLY, 0)
	must(h.t, err)
	defer f.Close()
	_, err = fmt.Fprintf(f, "[local]\naliases = [%q]\n", path)
	must(h.t, err)
	return h
}

const testAliases = `list: alice, bob, r@remote.example
nested: list, carol
box: \bob
file: "{TMP}/mail file"
null: /dev/null
command: "|/bin/cat x"
broken: bob, nosuchuser
none: nosuchuser
loop: pool
pool: loop
included: :include:{TMP}/members
missing: :include:{TMP}/nothing
`

func TestVerify(t *testing.T) {
	const relay = "[[smarthost]]\naddress = \"mail.example:587\"\n"
	for name, tc := range map[string]struct {
		args   []string
		extra  string
		status int
		stdout []string
	}{
		"local":           {[]string{"bob"}, "", 0, []string{"bob... deliverable: mailer local, user bob"}},
		"qualified, case": {[]string{"Bob@localhost"}, "", 0, []string{"Bob@localhost... deliverable: mailer local, user bob"}},
		"extension":       {[]string{"bob+x"}, "", 0, []string{"bob+x... deliverable: mailer local, user bob"}},
		"postmaster":      {[]string{"postmaster"}, "", 0, []string{"root... deliverable: mailer local, user root"}},
		"unknown":         {[]string{"nosuchuser", "bob"}, "", 67, []string{"nosuchuser... User unknown", "bob... deliverable: mailer local, user bob"}},
		"remote":          {[]string{"x@y.example"}, "", 0, []string{"x@y.example... deliverable: mailer esmtp, host y.example, user x@y.example"}},
		"relayed":         {[]string{"x@y.example"}, relay, 0, []string{"x@y.example... deliverable: mailer relay, host mail.example:587, user x@y.example"}},
		"alias": {[]string{"list"}, relay, 0, []string{"alice... deliverable: mailer local, user alice", "bob... deliverable: mailer local, user bob",
			"r@remote.example... deliverable: mailer relay, host mail.example:587, user r@remote.example"}},
		"nested, with reasons": {[]string{"-v", "nested"}, "", 0, []string{"nested... aliased to list, carol", "list... aliased to alice, bob, r@remote.example",
			"nested@example.org: alias in {TMP}/aliases:2: list, carol", "list@example.org: alias in {TMP}/aliases:1: alice, bob, r@remote.example",
			"alice... deliverable: mailer local, user alice", "bob... deliverable: mailer local, user bob",
			"r@remote.example... deliverable: mailer esmtp, host remote.example, user r@remote.example", "carol... deliverable: mailer local, user carol"}},
		"backslash":         {[]string{"box"}, "", 0, []string{"bob... deliverable: mailer local, user bob"}},
		"file":              {[]string{"file"}, "", 0, []string{`"{TMP}/mail file"... deliverable: mailer *file*, user "{TMP}/mail file"`}},
		"null":              {[]string{"null"}, "", 0, []string{`/dev/null... deliverable: mailer *file*, user /dev/null`}},
		"command":           {[]string{"command"}, "", 0, []string{`"|/bin/cat x"... deliverable: mailer prog, user "|/bin/cat x"`}},
		"one of two":        {[]string{"broken"}, "", 67, []string{"bob... deliverable: mailer local, user bob", "nosuchuser... User unknown"}},
		"alias for nobody":  {[]string{"none"}, "", 67, []string{"nosuchuser... User unknown"}},
		"included":          {[]string{"included"}, "", 0, []string{"carol... deliverable: mailer local, user carol"}},
		"never run":         {[]string{"|/bin/cat"}, "", 67, []string{"|/bin/cat... User unknown"}},
		"no address":        {[]string{"a <b"}, "", 67, []string{"a <b... User address required: *"}},
		"empty beside good": {[]string{"", "bob", "<>"}, "", 0, []string{"bob... deliverable: mailer local, user bob"}},
		"with a loop":       {[]string{"loop"}, "", 67, []string{"loop... mail forwarding loop: *"}},
		"without a file":    {[]string{"missing"}, "", 67, []string{"missing... *"}},
		"several at once":   {[]string{"bob, carol"}, "", 0, []string{"bob... deliverable: mailer local, user bob", "carol... deliverable: mailer local, user carol"}},
		"after two hyphens": {[]string{"--", "-x"}, "", 67, []string{"-x... User unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, tc.extra).withAliases(testAliases)
			must(t, os.WriteFile(filepath.Join(h.dir, "members"), []byte("carol\n"), 0o644))
			got := h.send("", append([]string{"-bv"}, tc.args...)...)
			want := strings.ReplaceAll(strings.Join(tc.stdout, "\n")+"\n", "{TMP}", h.dir)
			if got.status != tc.status || !matchLines(got.stdout, want) || got.stderr != "" {
				t.Errorf("status %d, stderr %q, stdout\n%swant %d and\n%s", got.status, got.stderr, got.stdout, tc.status, want)
			}
		})
	}
}

// TestVerifyCannotTell: an alias file that cannot be read is no reason to call a
// user unknown.
func TestVerifyCannotTell(t *testing.T) {
	h := newHost(t, "").withAliases("")
	path := filepath.Join(h.dir, "aliases")
	must(t, os.Remove(path))
	must(t, os.Mkdir(path, 0o755))
	got := h.send("", "-bv", "bob")
	if got.status != 75 || got.stderr != "" || !strings.HasPrefix(got.stdout, "bob... cannot tell now: ") {
		t.Errorf("%+v", got)
	}
}

func TestNewaliases(t *testing.T) {
	for name, tc := range map[string]struct {
		aliases string
		status  int
		stderr  string
	}{
		"right": {"# all is well\nlist: bob,\n  carol\n", 0, ""},
		"wrong": {"list: bob\nno colon here\nlist: carol\nempty:\n", 0, "newaliases: {TMP}/aliases:2: no colon*\nnewaliases: {TMP}/aliases:3: *\nnewaliases: {TMP}/aliases:4: *\n"},
	} {
		for _, args := range [][]string{{"/usr/bin/newaliases"}, {"sendmail", "-bi"}, {"sendmail", "-I"}} {
			t.Run(name+" "+args[len(args)-1], func(t *testing.T) {
				h := newHost(t, "").withAliases(tc.aliases)
				env := h.env()
				env.Args, env.UID, env.EUID = args, 0, 0
				got := run(env)
				if got.status != tc.status || got.stdout != "" || !matchLines(got.stderr, strings.ReplaceAll(tc.stderr, "{TMP}", h.dir)) {
					t.Errorf("%+v, want status %d and %q", got, tc.status, tc.stderr)
				}
			})
		}
	}
	t.Run("unreadable", func(t *testing.T) {
		h := newHost(t, "").withAliases("")
		must(t, os.Remove(filepath.Join(h.dir, "aliases")))
		must(t, os.Mkdir(filepath.Join(h.dir, "aliases"), 0o755))
		env := h.env("-bi")
		env.UID, env.EUID = 0, 0
		got := run(env)
		if got.status != 78 || got.stdout != "" || !matchLines(got.stderr, "newaliases: *\n") || !strings.Contains(got.stderr, filepath.Join(h.dir, "aliases")) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("absent", func(t *testing.T) {
		h := newHost(t, "").withAliases("")
		must(t, os.Remove(filepath.Join(h.dir, "aliases")))
		env := h.env("-bi")
		env.UID, env.EUID = 0, 0
		if got := run(env); got != (result{}) {
			t.Errorf("%+v", got)
		}
	})
}

// matchLines compares lines; one that ends in * is only begun.
func matchLines(text, want string) bool {
	got, wanted := strings.Split(text, "\n"), strings.Split(want, "\n")
	for i, w := range wanted {
		begin, open := strings.CutSuffix(w, "*")
		if i >= len(got) || got[i] != w && !(open && strings.HasPrefix(got[i], begin)) {
			return false
		}
	}
	return len(got) == len(wanted)
}
