package sendmail_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// withPostrider installs a program of that name.
func (h *host) withPostrider() *host {
	h.t.Helper()
	must(h.t, os.Mkdir(filepath.Join(h.dir, "bin"), 0o755))
	must(h.t, os.WriteFile(filepath.Join(h.dir, "bin", "postrider"), nil, 0o755))
	return h
}

func TestModesOfPostrider(t *testing.T) {
	const replaced = 71 // what a failing exec leaves
	for name, tc := range map[string]struct {
		argv       string
		root       bool
		status     int
		runs       string
		background bool
	}{
		"mailq":                {"mailq", false, replaced, "postrider mailq", false},
		"mailq with path":      {"/usr/bin/mailq -v", false, replaced, "postrider mailq", false},
		"mailq --json":         {"mailq --json", false, replaced, "postrider mailq --json", false},
		"-bp":                  {"sendmail -bp", false, replaced, "postrider mailq", false},
		"-bp with operand":     {"sendmail -bp bob", false, 64, "", false},
		"mailq with operand":   {"mailq bob", false, 64, "", false},
		"mailq -bm":            {"mailq -bm", false, 64, "", false},
		"-C by root":           {"sendmail -C /x.toml -bp", true, replaced, "postrider -C /x.toml mailq", false},
		"-C by another":        {"sendmail -C /x.toml -bp", false, 77, "", false},
		"-q":                   {"sendmail -q", false, replaced, "postrider queue flush --quiet", false},
		"-q with operand":      {"sendmail -q bob", false, 64, "", false},
		"-qf":                  {"sendmail -qf", false, replaced, "postrider queue flush --quiet", false},
		"-q30m":                {"sendmail -q30m", false, 0, "", false},
		"-q1h30m":              {"sendmail -q1h30m", false, 0, "", false},
		"-qI":                  {"sendmail -qI3F1A", false, replaced, "postrider queue flush --quiet --id-contains=3F1A", false},
		"-qR":                  {"sendmail -qRexample.net", false, replaced, "postrider queue flush --quiet --recipient-contains=example.net", false},
		"-q!S":                 {"sendmail -q!S-x", false, replaced, "postrider queue flush --quiet --sender-contains=-x --not", false},
		"-qR without value":    {"sendmail -qR", false, 64, "", false},
		"-qG":                  {"sendmail -qGgroup", false, 64, "", false},
		"-qp":                  {"sendmail -qp1m", false, 64, "", false},
		"-q!":                  {"sendmail -q!", false, 64, "", false},
		"-bd by root":          {"sendmail -bd -q30m", true, 0, "postrider daemon", true},
		"-bd by another":       {"sendmail -bd", false, 77, "", false},
		"-bD by root":          {"sendmail -bD", true, replaced, "postrider daemon", false},
		"-bD by another":       {"sendmail -bD", false, 77, "", false},
		"newaliases by root":   {"newaliases", true, 0, "", false},
		"newaliases by others": {"newaliases", false, 77, "", false},
		"-bi by root":          {"sendmail -bi", true, 0, "", false},
		"-I by another":        {"sendmail -I", false, 77, "", false},
		"-bh":                  {"sendmail -bh", false, 0, "", false},
		"-bH":                  {"sendmail -bH", false, 0, "", false},
		"-bz":                  {"sendmail -bz", false, 64, "", false},
		"-b with long value":   {"sendmail -bmm", false, 64, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "").withPostrider()
			env := h.env()
			env.Args = strings.Fields(tc.argv)
			if tc.root {
				env.UID, env.EUID = 0, 0
			}
			got := run(env)
			if got.status != tc.status || got.stdout != "" || (got.stderr == "") != (tc.status == 0) {
				t.Errorf("status %d, stdout %q, stderr %q; want status %d", got.status, got.stdout, got.stderr, tc.status)
			}
			var want []execution
			if tc.runs != "" {
				want = []execution{{strings.Fields(tc.runs), tc.background}}
			}
			if !reflect.DeepEqual(h.programs, want) {
				t.Errorf("ran %+v, want %+v", h.programs, want)
			}
		})
	}
}

func TestPostriderIsNotInstalled(t *testing.T) {
	h := newHost(t, "")
	env := h.env("-bp")
	env.Environ = append(env.Environ, "PATH="+h.dir)
	must(t, os.WriteFile(filepath.Join(h.dir, "postrider"), nil, 0o755))
	run(env).want(t, 71, "not installed")
}

func TestOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		status int
		stderr string
	}{
		"unknown":                    {[]string{"-Z", "bob"}, 64, "option -Z is not offered; usage:"},
		"unknown in a cluster":       {[]string{"-itK", "bob"}, 64, "option -K is not offered"},
		"unknown long":               {[]string{"--frob", "bob"}, 64, "option --frob"},
		"-s":                         {[]string{"-s", "bob"}, 64, "-s"},
		"-n":                         {[]string{"-n", "bob"}, 64, "-n"},
		"-M":                         {[]string{"-Mx", "bob"}, 64, "-M"},
		"-Q":                         {[]string{"-Qx", "bob"}, 64, "-Q"},
		"missing value":              {[]string{"-i", "-F"}, 64, "-F needs a value"},
		"option after operand":       {[]string{"bob", "-i"}, 64, `operand "-i" looks like an option`},
		"dash operand":               {[]string{"-i", "-"}, 64, "looks like an option"},
		"-C of another user":         {[]string{"-C/x", "bob"}, 77, "only root"},
		"-bv with -t":                {[]string{"-bv", "-t", "bob"}, 64, "exclude"},
		"-bv without operand":        {[]string{"-bv"}, 64, "needs addresses"},
		"-bs with operand":           {[]string{"-bs", "bob"}, 64, "no recipients"},
		"control characters are not": {[]string{"bob", "-\x1b\n"}, 64, "looks like"},
		"-N never with others":       {[]string{"-N", "never,delay", "bob"}, 0, "warning: option -N never,delay ignored"},
		"-R":                         {[]string{"-R", "some", "bob"}, 0, "warning: option -R some ignored"},
		"two senders":                {[]string{"-f", "a@x b@y", "bob"}, 0, "warning: only the first"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			s := h.serve(&server{})
			h.send(letter, tc.args...).want(t, tc.status, tc.stderr)
			if len(s.mails()) != b2i(tc.status == 0) {
				t.Errorf("%d messages queued", len(s.mails()))
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	h := newHost(t, "")
	for _, arg := range []string{"--help", "--version"} {
		if got := h.send("", arg); got.status != 0 || !strings.Contains(got.stdout, "sendmail") || got.stderr != "" {
			t.Errorf("%s: %+v", arg, got)
		}
	}
}

func TestConfigurationErrors(t *testing.T) {
	h := newHost(t, "nonsense = 1\n")
	h.send(letter, "bob@example.net").want(t, 78, h.config)
	must(t, os.Remove(h.config))
	h.send(letter, "bob@example.net").want(t, 78, h.config)
}

func TestVerify(t *testing.T) {
	for name, tc := range map[string]struct {
		operands []string
		extra    string
		status   int
		stdout   string
	}{
		"local":            {[]string{"bob"}, "", 0, "bob... deliverable: mailer local, user bob\n"},
		"local, qualified": {[]string{"Bob@localhost"}, "", 0, "Bob@localhost... deliverable: mailer local, user Bob\n"},
		"extension":        {[]string{"bob+x"}, "", 0, "bob+x... deliverable: mailer local, user bob+x\n"},
		"postmaster":       {[]string{"postmaster"}, "", 0, "postmaster... deliverable: mailer local, user postmaster\n"},
		"unknown":          {[]string{"nosuchuser", "bob"}, "", 67, "nosuchuser... User unknown\nbob... deliverable: mailer local, user bob\n"},
		"remote":           {[]string{"x@y.example"}, "", 0, "x@y.example... deliverable: mailer esmtp, host y.example, user x@y.example\n"},
		"relayed": {[]string{"x@y.example"}, "[[smarthost]]\naddress = \"mail.example:587\"\n", 0,
			"x@y.example... deliverable: mailer relay, host mail.example:587, user x@y.example\n"},
		"no address": {[]string{"a <b"}, "", 67, "a <b... User address required: "},
	} {
		t.Run(name, func(t *testing.T) {
			got := newHost(t, tc.extra).send("", append([]string{"-bv"}, tc.operands...)...)
			if got.status != tc.status || !strings.HasPrefix(got.stdout, tc.stdout) || got.stderr != "" {
				t.Errorf("%+v, want %d and %q", got, tc.status, tc.stdout)
			}
		})
	}
}

func TestSMTPOnStandardInput(t *testing.T) {
	h := newHost(t, "")
	s := h.serve(&server{})
	const session = "EHLO [127.0.0.1]\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nSubject: s\r\n\r\n..dot\r\n.\r\n"
	for name, tc := range map[string]struct {
		stdin  string
		stdout string
		queued int
	}{
		"until QUIT":     {session + "QUIT\r\n", `(?s)^220 .*\r\n354 .*\r\n250 .*\r\n221 [^\n]*\r\n$`, 1},
		"until EOF":      {session, `(?s)^220 .*\r\n354 .*\r\n250 [^\n]*\r\n$`, 1},
		"EOF in DATA":    {strings.TrimSuffix(session, ".\r\n"), `(?s)^220 .*\r\n354 `, 0},
		"nothing at all": {"", `^220 `, 0},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(s.mails())
			got := h.send(tc.stdin, "-bs", "-odb")
			if got.status != 0 || got.stderr != "" || !regexp.MustCompile(tc.stdout).MatchString(got.stdout) {
				t.Errorf("got %+v", got)
			}
			if n := len(s.mails()) - before; n != tc.queued {
				t.Errorf("%d messages queued, want %d", n, tc.queued)
			}
		})
	}
}

func TestSMTPWithoutDaemon(t *testing.T) {
	h := newHost(t, "")
	got := h.send("EHLO x\r\n", "-bs")
	if got.status != 75 || got.stderr != "" || !regexp.MustCompile(`^421 4\.3\.2 [^\r\n]*\r\n$`).MatchString(got.stdout) {
		t.Errorf("got %+v", got)
	}
}

func TestSMTPWhenTheDaemonDies(t *testing.T) {
	h := newHost(t, "")
	h.script(t, false, "220 h\r\n", "250 h\r\n")
	env := h.env("-bs")
	r, w, err := os.Pipe()
	must(t, err)
	defer r.Close()
	defer w.Close()
	_, err = w.WriteString("EHLO x\r\n")
	must(t, err)
	env.Stdin = r
	got := run(env)
	if got.status != 75 || !strings.Contains(got.stdout, "250 h\r\n421 4.3.2 ") {
		t.Errorf("got %+v", got)
	}
}

// FuzzCommandLine holds that whatever the arguments, the command ends with a known
// status, says at most one line beside its warnings, and touches nothing.
func FuzzCommandLine(f *testing.F) {
	for _, seed := range []string{"-bm\x00bob", "-it\x00-f\x00\x00bob", "-oQ/tmp\x00-qR!x", "-B8BITMIME\x00--\x00-x", "-q!I", "--json", "-f",
		"-FName\x00-N\x00success,never\x00-", "-bv\x00a b <c", "-C/x", "-\xff"} {
		f.Add(seed)
	}
	h := &host{t: nil, dir: f.TempDir(), config: "/nonexistent/postrider.toml"}
	h.passwd = filepath.Join(h.dir, "passwd")
	known := map[int]bool{0: true, 64: true, 71: true, 77: true, 78: true}
	f.Fuzz(func(t *testing.T, line string) {
		env := h.env(strings.Split(line, "\x00")...)
		got := run(env)
		if !known[got.status] {
			t.Errorf("status %d", got.status)
		}
		if got.status != 0 && (strings.Count(got.stderr, "\nsendmail: ")+1 != strings.Count(got.stderr, "\n") || !strings.HasPrefix(got.stderr, "sendmail: ")) {
			t.Errorf("stderr %q", got.stderr)
		}
	})
}
