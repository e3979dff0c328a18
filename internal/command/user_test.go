package command_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/command"
	"postrider/internal/logins"
)

func newUsersHost(t *testing.T) (host, string) {
	t.Helper()
	users := filepath.Join(t.TempDir(), "users")
	return newHost(t, fmt.Sprintf("submission.users = %q\n", users)), users
}

func knows(t *testing.T, users, name, password string) bool {
	t.Helper()
	ok, err := logins.Open(users).Verify(name, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestUserCommands(t *testing.T) {
	h, users := newUsersHost(t)
	for _, tt := range []struct {
		stdin        string
		args         []string
		code         int
		stdout, says string
	}{
		{"", []string{"user", "list"}, 0, "", ""},
		{"one two\r\nthree\n", []string{"user", "add", "alice@example.com"}, 0, "", "added: alice@example.com\n"},
		{"secret", []string{"user", "add", "bob"}, 0, "", "added: bob\n"},
		{"other\n", []string{"user", "add", "bob"}, 0, "", "password changed: bob\n"},
		{"", []string{"user", "list"}, 0, "alice@example.com\nbob\n", ""},
		{"\n", []string{"user", "add", "carol"}, 65, "", "postrider: the password is empty\n"},
		{"a\x01b\n", []string{"user", "add", "carol"}, 65, "", "choose others"},
		{strings.Repeat("x", 5000) + "\n", []string{"user", "add", "carol"}, 65, "", "more than 4096 bytes"},
		{"x\n", []string{"user", "add", "carol:x"}, 64, "", "colon"},
		{"x\n", []string{"user", "add"}, 64, "", "accepts 1 arg"},
		{"", []string{"user", "add", "carol", "hunter2"}, 64, "", "accepts 1 arg"},
		{"", []string{"user", "delete", "carol"}, 67, "", "postrider user list"},
		{"", []string{"user", "delete", "bob"}, 0, "", "deleted: bob\n"},
		{"", []string{"user", "list"}, 0, "alice@example.com\n", ""},
	} {
		code, out, errs := h.run(tt.stdin, tt.args...)
		if code != tt.code || out != tt.stdout || !strings.Contains(errs, tt.says) || strings.Count(errs, "\n") > 1 || strings.Contains(errs, "hunter2") {
			t.Errorf("%q: exit %d (want %d), %q, %q", tt.args, code, tt.code, out, errs)
		}
	}
	if !knows(t, users, "alice@example.com", "one two") || knows(t, users, "bob", "other") {
		t.Error("the file is wrong")
	}
}

func TestUserFileTrouble(t *testing.T) {
	h, users := newUsersHost(t)
	if err := os.WriteFile(users, []byte("alice:clear text\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := h.run("x\n", "user", "add", "bob"); code != 65 || !strings.Contains(errs, users+": line 1") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if err := os.RemoveAll(filepath.Dir(users)); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := h.run("x\n", "user", "add", "bob"); code != 73 || !strings.Contains(errs, "make the directory") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// openTerminal gives both ends of a new terminal.
func openTerminal(t *testing.T) (keyboard, terminal *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no terminals here: ", err)
	}
	keyboard = os.NewFile(uintptr(fd), "ptmx")
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if terminal, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return keyboard, terminal
}

// typist answers a prompt when it comes.
type typist struct {
	keyboard *os.File
	answers  []string
	said     bytes.Buffer
}

func (w *typist) Write(p []byte) (int, error) {
	w.said.Write(p)
	if (strings.HasSuffix(string(p), ": ") || strings.HasSuffix(string(p), "[y/N] ")) && len(w.answers) > 0 {
		if _, err := io.WriteString(w.keyboard, w.answers[0]+"\n"); err != nil {
			return 0, err
		}
		w.answers = w.answers[1:]
	}
	return len(p), nil
}

func TestPasswordAtTerminal(t *testing.T) {
	for _, tt := range []struct {
		answers []string
		code    int
		says    string
	}{
		{[]string{"top secret", "top secret"}, 0, "added: alice"},
		{[]string{"top secret", "top sekret"}, 65, "differ"},
	} {
		h, users := newUsersHost(t)
		keyboard, terminal := openTerminal(t)
		before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		w := &typist{keyboard: keyboard, answers: tt.answers}
		code := command.Run("1.0", []string{"-C", h.config, "user", "add", "alice"}, terminal, io.Discard, w)
		if code != tt.code || !strings.Contains(w.said.String(), tt.says) || strings.Contains(w.said.String(), "secret") {
			t.Errorf("exit %d, %q", code, &w.said)
		}
		if knows(t, users, "alice", "top secret") != (code == 0) {
			t.Error("the file is wrong")
		}
		after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil || *after != *before {
			t.Errorf("the terminal is left changed (%v)", err)
		}
		keyboard.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if shown, _ := io.ReadAll(keyboard); bytes.Contains(shown, []byte("secret")) {
			t.Errorf("the terminal showed %q", shown)
		}
	}
}
