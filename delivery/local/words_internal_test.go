package local

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestSplit(t *testing.T) {
	for line, words := range map[string][]string{
		"cat":                             {"cat"},
		" /bin/x\ta  b=c,d:+@%!_-. ":      {"/bin/x", "a", "b=c,d:+@%!_-."},
		`x 'a "b" $c; d\' "e 'f' \"\\\$"`: {"x", `a "b" $c; d\`, `e 'f' "\$`},
		`x a'b'"c"\ \;d ''`:               {"x", "abc ;d", ""},
		`x "a\b"`:                         {"x", `a\b`},
		"x \"a\\\nb\" 'c\nd'":             {"x", "ab", "c\nd"},
		"":                                nil,
		" ":                               nil,
		"x;y":                             nil,
		"x|y":                             nil,
		"x&":                              nil,
		"x>y":                             nil,
		"x <y":                            nil,
		"x $y":                            nil,
		"x `y`":                           nil,
		`x "$y"`:                          nil,
		"x \"`y`\"":                       nil,
		"x *":                             nil,
		"x [a]":                           nil,
		"x a?":                            nil,
		"x ~":                             nil,
		"x #y":                            nil,
		"x (y)":                           nil,
		"x {y}":                           nil,
		"x ^y":                            nil,
		"x\ny":                            nil,
		"x 'y":                            nil,
		`x "y`:                            nil,
		`x "y\`:                           nil,
		`x y\`:                            nil,
		"x \\\ny":                         nil,
		"x\x00y":                          nil,
		"x '\x00'":                        nil,
		"x é":                             nil,
		"x 'é'":                           {"x", "é"},
	} {
		got, simple := split(line, "")
		if simple != (words != nil) || simple && !slices.Equal(got, words) {
			t.Errorf("%q: %q, %v", line, got, simple)
		}
	}
	if got, simple := split("/bin/x {user} '{a b}'", "{}"); !simple || !slices.Equal(got, []string{"/bin/x", "{user}", "{a b}"}) {
		t.Errorf("%q, %v", got, simple)
	}
}

func TestHarmless(t *testing.T) {
	if got := harmless("aZ09!@%-_=+:,./ $(x)`;&|<>'\"\\\n\x00\xff*?[]{}~#^"); got != "aZ09!@%-_=+:,./___x"+strings.Repeat("_", 22) {
		t.Errorf("%q", got)
	}
}

// FuzzSplit compares with the shell: where none is said to be needed, it finds the
// same words and does nothing else.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{"a b", `a 'b c' "d \" e" \f`, "a=b c", `''`, `"a\
b"`, "a;b", `a "$b"`, "a'\n'b", "! a", "- x", "é 'é'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		words, simple := split(line, "")
		if !simple {
			return
		}
		cmd := exec.Command("/bin/sh", "-c", "set -- "+line+"\nfor a; do printf '%s\\0' \"$a\"; done")
		cmd.Dir, cmd.Env = "/", []string{}
		if os.Getuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.Output()
		got := strings.Split(string(bytes.TrimSuffix(out, []byte{0})), "\x00")

		if err != nil || !slices.Equal(got, words) {
			t.Fatalf("%q: %q, the shell has %q (%v)", line, words, got, err)
		}
	})
}
