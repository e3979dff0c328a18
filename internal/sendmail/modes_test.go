package sendmail_test

import (
	"os"
	"path/filepath"
	"reflect"
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
		"-bp wins over mailq":  {"mailq -bp", false, replaced, "postrider mailq", false},
		"mailq -Ac":            {"mailq -Ac", false, replaced, "postrider mailq", false},
		"-q30m":                {"sendmail -q30m", false, 0, "", false},
		"-q1h30m":              {"sendmail -q1h30m", false, 0, "", false},
		"-qI":                  {"sendmail -qI3F1A", false, replaced, "postrider queue flush --quiet --id-contains=3F1A", false},
		"-qR":                  {"sendmail -qRexample.net", false, replaced, "postrider queue flush --quiet --recipient-contains=example.net", false},
		"-q!S":                 {"sendmail -q!S-x", false, replaced, "postrider queue flush --quiet --sender-contains=-x --not", false},
		"-qR without value":    {"sendmail -qR", false, 64, "", false},
		"-qG":                  {"sendmail -qGgroup", false, 64, "", false},
		"-qp":                  {"sendmail -qp1m", false, 64, "", false},
		"-q!":                  {"sendmail -q!", false, 64, "", false},
		"-bd by another":       {"sendmail -bd", false, 77, "", false},
		"-bD by root":          {"sendmail -bD", true, replaced, "postrider daemon", false},
		"-bD by another":       {"sendmail -bD", false, 77, "", false},
		"newaliases by root":   {"newaliases", true, 0, "", false},
		"newaliases by others": {"newaliases", false, 77, "", false},
		"-bi by root":          {"sendmail -bi", true, 0, "", false},
		"-I by another":        {"sendmail -I", false, 77, "", false},
		"newaliases, operand":  {"newaliases x", true, 64, "", false},
		"-bD with operand":     {"sendmail -bD x", true, 64, "", false},
		"-bi -t":               {"sendmail -bi -t", true, 64, "", false},
		"-q after -bp":         {"sendmail -bp -q", false, replaced, "postrider queue flush --quiet", false},
		"-bp after -q":         {"sendmail -q -bp", false, replaced, "postrider mailq", false},
		"mailq -q":             {"mailq -q", false, replaced, "postrider queue flush --quiet", false},
		"-bD -q30m":            {"sendmail -bD -q30m", true, replaced, "postrider daemon", false},
		"-q30m -bD":            {"sendmail -q30m -bD", true, replaced, "postrider daemon", false},
		"mailq -t":             {"mailq -t", false, 64, "", false},
		"-bh":                  {"sendmail -bh", false, 0, "", false},
		"-bH":                  {"sendmail -bH", false, 0, "", false},
		"-bz":                  {"sendmail -bz", false, 64, "", false},
		"-ba":                  {"sendmail -ba", false, 64, "", false},
		"-bP":                  {"sendmail -bP", false, 64, "", false},
		"-bt":                  {"sendmail -bt", false, 64, "", false},
		"-b":                   {"sendmail -b", false, 64, "", false},
		"-qL":                  {"sendmail -qL", false, 64, "", false},
		"-qQ":                  {"sendmail -qQ", false, 64, "", false},
		"-q!f":                 {"sendmail -q!f", false, 64, "", false},
		"hoststat":             {"hoststat", false, 64, "", false},
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
		if got.status == 0 {
			return
		}
		complaints := 0
		for line := range strings.Lines(got.stderr) {
			if !strings.HasSuffix(line, "\n") || !strings.HasPrefix(line, "sendmail: ") && !strings.HasPrefix(line, "newaliases: ") {
				t.Errorf("stderr %q", got.stderr)
			}
			complaints += b2i(!strings.HasPrefix(line, "sendmail: warning: "))
		}
		if complaints != 1 {
			t.Errorf("%d complaints: %q", complaints, got.stderr)
		}
	})
}
