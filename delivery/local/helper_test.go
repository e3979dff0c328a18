package local_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/delivery/local"
	"postrider/internal/address"
)

// The test binary is its own helper: a process of its own is what it takes to
// hold an fcntl lock, to be killed, or to be another user.
const helperEnv = "LOCAL_TEST_HELPER"

func TestMain(m *testing.M) {
	if job := os.Getenv(helperEnv); job != "" {
		os.Exit(help(job, os.Args[1:]))
	}
	os.Exit(m.Run())
}

func help(job string, args []string) int {
	switch job {
	case "lock":
		return helpLock(args[0])
	case "stall":
		return helpStall(args[0])
	case "act":
		return helpAct()
	case "deliver":
		return helpDeliver(args)
	}
	return 2
}

// helpLock holds an fcntl lock until its input ends, after waiting for it.
func helpLock(path string) int {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return 3
	}
	defer f.Close()
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
		return 4
	}
	fmt.Println("locked")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// helpStall stops in the middle of an append, to be killed there.
func helpStall(path string) int {
	first := true
	open := func() (io.ReadCloser, error) {
		if first {
			first = false
			return io.NopCloser(strings.NewReader("\n")), nil
		}
		return io.NopCloser(io.MultiReader(
			strings.NewReader("Subject: torn\n\n"+strings.Repeat("torn line\n", 20_000)+"half"),
			stall{})), nil
	}
	m, err := local.New(options(path, os.Getuid()))
	if err != nil {
		return 3
	}
	m.Deliver(context.Background(), envelope(), open)
	return 4
}

type stall struct{}

func (stall) Read([]byte) (int, error) {
	fmt.Println("stalled")
	select {}
}

// helpDeliver delivers one message of so many lines to a mailbox of the user uid,
// under a file size limit if that is not zero, and prints the outcome.
func helpDeliver(args []string) int {
	uid, _ := strconv.Atoi(args[1])
	lines, _ := strconv.Atoi(args[2])
	limit, _ := strconv.ParseUint(args[3], 10, 64)
	if limit > 0 {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
			return 3
		}
	}
	m, err := local.New(options(args[0], uid))
	if err != nil {
		return 4
	}
	out := m.Deliver(context.Background(), envelope(), text("Subject: x\n\n"+strings.Repeat("a line of text\n", lines)))
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 5
	}
	return 0
}

func helper(t *testing.T, job string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), helperEnv+"="+job)
	cmd.Stderr = os.Stderr
	return cmd
}

// deliverAs runs one delivery in a process of another user.
func deliverAs(t *testing.T, as, uid int, path string, lines int, limit uint64) local.Outcome {
	t.Helper()
	cmd := helper(t, "deliver", path, strconv.Itoa(uid), strconv.Itoa(lines), strconv.FormatUint(limit, 10))
	if as != os.Getuid() {
		// Others may not reach the directory that the test binary is in.
		exe := filepath.Join(publicDir(t), "helper")
		copyFile(t, cmd.Path, exe)
		cmd.Path = exe
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(as), Gid: uint32(as)}}
	}
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("helper: %v", err)
	}
	var out local.Outcome
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// publicDir is a directory that every user can reach.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "local-test-")
	if err != nil {
		t.Skip("no /tmp: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// await reads the helper's first line.
func await(t *testing.T, r io.Reader, want string) {
	t.Helper()
	line, err := bufio.NewReader(r).ReadString('\n')
	if strings.TrimSpace(line) != want {
		t.Fatalf("helper said %q, %v; want %q", line, err, want)
	}
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// options put the mailbox of alice, the only user, at dir/alice.
func options(dir string, uid int) local.Options {
	return local.Options{
		Template: "mbox:" + dir + "/{user}", Delimiter: "+",
		Lookup: func(name string) (*local.User, error) {
			if name != "alice" {
				return nil, nil
			}
			return &local.User{Name: "alice", UID: uid, GID: uid, Home: filepath.Join(dir, "home")}, nil
		},
		LockTimeout: 20 * time.Second,
		Now:         func() time.Time { return noon },
	}
}

func envelope() local.Envelope {
	return local.Envelope{
		From: address.Address{Local: "bob", Domain: "example.net"},
		To:   address.Address{Local: "alice", Domain: "example.com"},
	}
}

func text(s string) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(s)), nil }
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// messages splits a mailbox the way readers do: at a From_ line after an empty
// line. A mailbox that cannot be split so is damaged.
func messages(t *testing.T, path string) []string {
	t.Helper()
	var found []string
	var current *bytes.Buffer
	blank := true
	for line := range strings.SplitAfterSeq(read(t, path), "\n") {
		if strings.HasPrefix(line, "From ") {
			if !blank {
				t.Fatalf("a From_ line does not follow an empty one: %q", line)
			}
			if current != nil {
				found = append(found, current.String())
			}
			current = new(bytes.Buffer)
		}
		blank = line == "\n"
		if line != "" {
			current.WriteString(line)
		}
	}
	return append(found, current.String())
}
