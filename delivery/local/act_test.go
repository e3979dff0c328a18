package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

// act is what a process of another user is told to do. Any name is that user's.
type act struct {
	Template, Forward string
	User              local.User
	Timeout           time.Duration
	Envelope          local.Envelope
	Message           string
	Size              int  // the message is made as long as this
	Broken            bool // and cannot be read to its end
	Include           string
	JustForward       bool
	CountReads        bool // log how many bytes were read
}

// helpAct does it, prints the outcome, and logs to standard error.
func helpAct() int {
	var a act
	if err := json.NewDecoder(os.Stdin).Decode(&a); err != nil {
		return 3
	}
	m, err := local.New(local.Options{
		Template: a.Template, Forward: a.Forward, Delimiter: "+", DefaultUser: "someone", CommandTimeout: a.Timeout,
		Environment: []string{"LANG=C.UTF-8"},
		Lookup:      func(string) (*local.User, error) { return &a.User, nil },
		Logger:      slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Now:         func() time.Time { return noon },
	})
	if err != nil {
		return 4
	}
	var out local.Outcome
	switch {
	case a.JustForward:
		out = m.Forward(context.Background(), a.User.Name)
	case a.Include != "":
		out = m.Include(context.Background(), a.User.Name, a.Include)
	default:
		out = m.Deliver(context.Background(), a.Envelope, a.open)
	}
	if a.CountReads {
		counters, _ := os.ReadFile("/proc/self/io")
		var n int64
		if _, err := fmt.Sscanf(string(counters), "rchar: %d", &n); err != nil {
			return 6
		}
		fmt.Fprintln(os.Stderr, "read", n)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		return 5
	}
	return 0
}

func (a act) open() (io.ReadCloser, error) {
	parts := []io.Reader{strings.NewReader(a.Message + strings.Repeat("a line of text\n", max(0, a.Size-len(a.Message))/15))}
	if a.Broken {
		parts = append(parts, brokenReader{})
	}
	return io.NopCloser(io.MultiReader(parts...)), nil
}

// someone is an ordinary user with a home directory in a directory of root's that
// everybody can reach; whoever runs the tests if that is not root.
type someone struct {
	local.User
	dir string
}

func newSomeone(t *testing.T) *someone {
	t.Helper()
	s := &someone{dir: publicDir(t)}
	account, err := user.Current()
	if os.Getuid() == 0 {
		account, err = user.Lookup("games")
	}
	if err != nil {
		t.Skip("needs a user: ", err)
	}
	s.Name, s.Home = account.Username, s.dir+"/home"
	s.UID, _ = strconv.Atoi(account.Uid)
	s.GID, _ = strconv.Atoi(account.Gid)
	s.must(t, os.Mkdir(s.Home, 0o755), os.Chown(s.Home, s.UID, s.GID), os.Mkdir(s.dir+"/mail", 0o755), os.Chown(s.dir+"/mail", s.UID, s.GID))
	return s
}

func (s *someone) must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// put makes a file of the user's.
func (s *someone) put(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	s.must(t, os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode), os.Chown(path, s.UID, s.GID))
}

// do has a process of the user's act, and gives what it logged too.
func (s *someone) do(t *testing.T, a act) (local.Outcome, string) {
	t.Helper()
	a.User = s.User
	if a.Template == "" {
		a.Template = "mbox:" + s.dir + "/mail/{user}"
	}
	a.Envelope.From, a.Envelope.To = address.Address{Local: "bob", Domain: "example.net"}, cmpOr(a.Envelope.To, address.Address{Local: "alice", Domain: "example.com"})
	told, err := json.Marshal(a)
	s.must(t, err)
	cmd := exec.Command("/proc/self/exe")
	// The race detector would have each process wait for a second when it ends.
	cmd.Env = []string{helperEnv + "=act", "SECRET=1", "LANG=de_DE", "GORACE=atexit_sleep_ms=0"}
	var said, log bytes.Buffer
	cmd.ExtraFiles = []*os.File{os.Stderr, os.Stderr}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Dir = bytes.NewReader(told), &said, &log, "/"
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.GID)}}
	}
	if err := cmd.Run(); err != nil {
		t.Fatalf("helper: %v\n%s", err, &log)
	}
	var out local.Outcome
	s.must(t, json.Unmarshal(said.Bytes(), &out))
	return out, log.String()
}

// run has the user run a command with a message.
func (s *someone) run(t *testing.T, line string, change ...func(*act)) local.Outcome {
	t.Helper()
	a := act{Message: "Subject: x\n\nFrom here\n"}
	a.Envelope.Target = queue.Target{Kind: queue.TargetCommand, Value: line, User: s.Name}
	for _, c := range change {
		c(&a)
	}
	out, _ := s.do(t, a)
	return out
}

func cmpOr(a, b address.Address) address.Address {
	if a.IsNull() {
		return b
	}
	return a
}

// list names the files below a directory.
func list(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
