package sendmail_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// finished runs a command to its end.
func finished(t *testing.T, cmd *exec.Cmd, stdin string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// TestHostileEnvironment: however a careless or malicious caller starts the built
// program, a message is queued whole or not at all, and nothing else happens.
func TestHostileEnvironment(t *testing.T) {
	program := build(t)
	t.Run("closed files", func(t *testing.T) { closedFiles(t, program) })
	t.Run("limit of file sizes", func(t *testing.T) { limitedFiles(t, program) })
	t.Run("shells", func(t *testing.T) { hostileShells(t, program) })
	t.Run("operands", func(t *testing.T) { hostileOperands(t, program) })
	t.Run("no account", func(t *testing.T) { noAccount(t, program) })
	t.Run("no arguments at all", func(t *testing.T) {
		h := newHost(t, "")
		cmd := h.process(program)
		cmd.Args = []string{""}
		finished(t, cmd, letter).want(t, 64, "Recipient addresses must be specified")
	})
}

// closedFiles: whichever of the three files is closed, none of ours takes its place.
func closedFiles(t *testing.T, program string) {
	for mask := range 8 {
		redirect, stdin := "", true
		for fd := range 3 {
			if mask&(1<<fd) != 0 {
				redirect += fmt.Sprintf(" %d>&-", fd)
				stdin = stdin && fd != 0
			}
		}
		for _, name := range []string{"socket", "maildrop"} {
			t.Run(name+redirect, func(t *testing.T) {
				h := newHost(t, "")
				if os.Getuid() == 0 && name == "maildrop" {
					must(t, os.Chown(h.spool, 1001, 1001))
				}
				collect := ways[name].prepare(t, h)
				large := letter + strings.Repeat("a line that makes the message large\n", 50_000)
				cmd := h.process("/bin/sh", "-c", `exec "$0" -v -oi bob@example.net`+redirect, program)
				if name == "maildrop" { // else root, or who owns the spool, goes by the spool
					cmd.Env = append(cmd.Env, "POSTRIDER_SPOOL="+h.spool)
					must(t, os.WriteFile(filepath.Join(h.spool, "queue.db"), []byte("not a spool"), 0o600))
				}
				if got := finished(t, cmd, large); got.status != 0 || got.stderr != "" {
					t.Fatalf("%+v", got)
				}
				all := collect()
				if len(all) != 1 {
					t.Fatalf("%d messages queued", len(all))
				}
				if head, body, _ := strings.Cut(all[0].content, "\n\n"); stdin && all[0].content != large || !stdin && (body != "" || strings.Contains(head, "Subject")) {
					t.Errorf("queued %.300q", all[0].content)
				}
			})
		}
	}
}

// limitedFiles: a message that does not fit is not queued, and the caller is told.
func limitedFiles(t *testing.T, program string) {
	for _, size := range []int{2_000, 4 << 20} {
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			h := newHost(t, "")
			collect := openMaildrop(t, h)
			must(t, os.WriteFile(filepath.Join(h.spool, "queue.db"), []byte("not a spool"), 0o600))
			cmd := h.process("/bin/sh", "-c", `trap - XFSZ; ulimit -f 1; exec "$0" -i bob@example.net`, program)
			got := finished(t, cmd, letter+strings.Repeat("x\n", size/2))
			got.want(t, 75, "file too large")
			if n := len(collect()); n > 0 || len(h.dropped(t)) > 0 {
				t.Errorf("%d messages queued, in the maildrop %v", n, h.dropped(t))
			}
		})
	}
}

// hostileShells are states of a process that only some callers get into.
func hostileShells(t *testing.T, program string) {
	for name, script := range map[string]string{
		"umask":                "umask 777",
		"directory gone":       `cd "$1" && rmdir "$1"`,
		"no environment":       "unset PATH HOME USER LOGNAME PWD SHLVL OLDPWD _",
		"wrong environment":    "HOME=/nonexistent USER=mallory LOGNAME=mallory EMAIL=m@x MAILUSER=m TMPDIR=/proc LANG=x; export HOME USER LOGNAME EMAIL MAILUSER TMPDIR LANG",
		"every signal ignored": "trap '' HUP INT TERM PIPE XFSZ CHLD",
		"few files":            "ulimit -n 12",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			s := h.serve(&server{})
			must(t, os.Chmod(h.socket(), 0o666))
			gone := filepath.Join(h.dir, "gone")
			must(t, os.Mkdir(gone, 0o755))
			cmd := h.process("/bin/sh", "-c", script+`; exec "$0" -i bob@example.net`, program, gone)
			if got := finished(t, cmd, "Subject: s\n\nx\n"); got != (result{}) {
				t.Fatalf("%+v", got)
			}
			if got := s.mails(); len(got) != 1 || strings.Contains(got[0].data, "mallory") || strings.Contains(got[0].from, "mallory") {
				t.Errorf("queued %+v", got)
			}
		})
	}
}

// hostileOperands are recipients that other programs run, write or read.
func hostileOperands(t *testing.T, program string) {
	long := strings.Repeat("x", 64<<10)
	var many []string
	for i := range 10_000 {
		many = append(many, fmt.Sprintf("u%d@e.net", i))
	}
	for name, tc := range map[string]struct {
		args   []string
		status int
		stderr string
		to     []string
	}{
		"command":           {[]string{"|touch {TMP}/owned"}, 0, "", []string{"|touch@example.org", "{TMP}/owned@example.org"}},
		"command in a word": {[]string{"|{TMP}/owned"}, 0, "", []string{`|{TMP}/owned@example.org`}},
		"file":              {[]string{"{TMP}/owned"}, 0, "", []string{`{TMP}/owned@example.org`}},
		"include":           {[]string{":include:/etc/passwd"}, 0, "", []string{":include:/etc/passwd@example.org"}},
		"queue elsewhere":   {[]string{"-oQ{TMP}/owned", "-OQueueDirectory={TMP}/owned", "bob"}, 0, "", []string{"bob@example.org"}},
		"log":               {[]string{"-X{TMP}/owned", "bob"}, 64, "option -X is not offered", nil},
		"newline":           {[]string{"bob\nmallory@example.net"}, 65, "control character", nil},
		"carriage return":   {[]string{"bob\rDATA"}, 65, "control character", nil},
		"endless":           {[]string{long + "@example.net"}, 65, "no usable recipient", nil},
		"endless domain":    {[]string{"bob@" + long}, 65, "no usable recipient", nil},
		"endless sender":    {[]string{"-f", long + "@example.net", "bob"}, 65, "sender", nil},
		"newline in -f":     {[]string{"-f", "a@x.example\nRCPT TO:<mallory@x>", "bob"}, 0, "warning: sender address cut", []string{"bob@example.org"}},
		"newline in -F":     {[]string{"-F", "A\nBcc: mallory@x", "bob"}, 0, "", []string{"bob@example.org"}},
		"many":              {many, 0, "", many},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			s := h.serve(&server{})
			tmp := strings.NewReplacer("{TMP}", h.dir)
			for i := range tc.args {
				tc.args[i] = tmp.Replace(tc.args[i])
			}
			got := finished(t, h.process(program, tc.args...), "Subject: s\n\nx\n")
			if got.status != tc.status || !strings.Contains(got.stderr, tc.stderr) || (got.stderr == "") != (tc.status == 0 && tc.stderr == "") ||
				len(got.stderr) > 1000 || strings.Count(got.stderr, "\n") > 1 {
				t.Errorf("status %d, want %d; stderr %.1200q", got.status, tc.status, got.stderr)
			}
			if _, err := os.Lstat(filepath.Join(h.dir, "owned")); err == nil {
				t.Error("a file was made")
			}
			mails := s.mails()
			if len(mails) != b2i(tc.to != nil) {
				t.Fatalf("%d messages queued", len(mails))
			}
			for i := range tc.to {
				tc.to[i] = tmp.Replace(tc.to[i])
			}
			if len(mails) == 1 && (!slices.EqualFunc(mails[0].to, tc.to, sameAddress) || strings.Contains(mails[0].data, "\nBcc")) {
				t.Errorf("to %.300q: %.300q", mails[0].to, mails[0].data)
			}
		})
	}
}

// noAccount: in a container the user may be no more than a number.
func noAccount(t *testing.T, program string) {
	if os.Getuid() != 0 {
		t.Skip("needs root to be somebody else")
	}
	h := newHost(t, "")
	s := h.serve(&server{})
	must(t, os.Chmod(h.socket(), 0o666))
	public := filepath.Join(h.dir, "sendmail")
	f, err := os.Open(program)
	must(t, err)
	defer f.Close()
	w, err := os.OpenFile(public, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(w, f)
	must(t, err)
	must(t, w.Close())
	cmd := h.process(public, "bob@example.net")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	if got := finished(t, cmd, "Subject: s\n\nx\n"); got != (result{}) {
		t.Fatalf("%+v", got)
	}
	if got := s.mails(); len(got) != 1 || got[0].from != "54321@example.org" || !strings.Contains(got[0].data, "From: 54321@example.org\n") {
		t.Errorf("queued %+v", got)
	}
}
