package mailboxd_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postrider/delivery/local"
	"postrider/internal/mailboxd"
	"postrider/queue"
)

const entry = "Return-Path: <bob@example.net>\nX-Original-To: someone@example.com\nDelivered-To: games@example.com\n"

func TestDaemonDeliversToAnotherUser(t *testing.T) {
	h := newHost(t)
	uid, _ := ids(t, "games")
	_, group := ids(t, "mail")
	for n := 1; n <= 2; n++ {
		raw, err := as(t, "daemon", "test-client", h.socket, "Games+list", "Subject: x\n\nhello\n")
		if err != nil {
			t.Fatalf("%v: %s", err, raw)
		}
		var out local.Outcome
		if err := json.Unmarshal(raw, &out); err != nil {
			t.Fatal(err)
		}
		want(t, out, queue.Delivered, "2.0.0", h.mail+"/games")
		wantFile(t, h.mail+"/games", uid, group, 0o600)
		got := h.read(t, "games")
		if strings.Count(got, "Delivered-To: Games+list@example.com\nSubject: x\n\nhello\n\n") != n || !strings.HasPrefix(got, "From bob@example.net ") {
			t.Fatalf("mailbox: %q", got)
		}
	}
	names, _ := filepath.Glob(h.mail + "/*")
	if len(names) != 1 {
		t.Errorf("left behind: %v", names)
	}
}

func TestRootsMailbox(t *testing.T) {
	h := newHost(t)
	_, group := ids(t, "mail")
	want(t, h.client.Deliver(t.Context(), envelope("root"), text("\nx\n")), queue.Delivered, "2.0.0", h.mail+"/root")
	wantFile(t, h.mail+"/root", 0, group, 0o600)
}

func TestRefusedMailboxes(t *testing.T) {
	h := newHost(t)
	uid, _ := ids(t, "games")
	victim := h.dir + "/victim"
	own := func(p string) error {
		return errors.Join(os.WriteFile(p, []byte("x"), 0o600), os.Lchown(p, int(uid), -1))
	}
	tests := []struct {
		name  string
		make  func(path string) error
		words string
	}{
		{"symlink", func(p string) error { return errors.Join(own(victim), os.Symlink(victim, p)) }, "symbolic link"},
		{"hard link", func(p string) error { return errors.Join(own(p), os.Link(p, victim)) }, "2 names"},
		{"another's", func(p string) error { return os.WriteFile(p, []byte("x"), 0o644) }, "belongs to uid 0, not to games"},
		{"not to be written", func(p string) error { return errors.Join(own(p), os.Chmod(p, 0o400)) }, "chmod u+rw"},
		{"another's, writable", func(p string) error { return errors.Join(os.WriteFile(p, []byte("x"), 0o666), os.Chmod(p, 0o666)) }, "belongs to uid 0"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o777) }, "move it away"},
		{"in a directory of root alone", func(string) error { return os.Chmod(h.mail, 0o755) }, "root:mail with mode 2775"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer os.RemoveAll(h.mail + "/games")
			defer os.RemoveAll(victim)
			if err := tt.make(h.mail + "/games"); err != nil {
				t.Fatal(err)
			}
			out := h.client.Deliver(t.Context(), envelope("games"), text("\ny\n"))
			if out.Result != queue.Temporary || !strings.Contains(out.Text, tt.words) {
				t.Errorf("%+v", out)
			}
			if b, err := os.ReadFile(victim); err == nil && string(b) != "x" {
				t.Errorf("victim has %q", b)
			}
		})
	}
}

func TestForeignUserIsRefused(t *testing.T) {
	h := newHost(t)
	raw, err := as(t, "nobody", "test-client", h.socket, "games", "\nx\n")
	if err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	var out local.Outcome
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	want(t, out, queue.Temporary, "4.3.0", "broke off")
	uid, _ := ids(t, "nobody")
	if said := fmt.Sprintf("uid %d, pid", uid); !strings.Contains(h.log.String(), said) {
		t.Errorf("log lacks %q: %s", said, h.log)
	}
	if got := h.read(t, "games"); got != "" {
		t.Errorf("delivered %q", got)
	}
}

func TestMalformedRequests(t *testing.T) {
	h := newHost(t)
	frame := func(s string) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(s))), s...) }
	const good = `{"Kind":"deliver","Envelope":{"To":{"local":"games"}}}`
	tests := map[string]struct {
		send  []byte
		words string
	}{
		"nothing":       {nil, "EOF"},
		"not a length":  {[]byte("GET / HTTP/1.1\r\n\r\n"), "announced"},
		"cut off":       {frame(good)[:12], "EOF"},
		"not JSON":      {frame("To: games"), "malformed"},
		"unknown field": {frame(`{"Kind":"deliver","Uid":0}`), "malformed"},
		"two values":    {frame(good + "{}"), "more than one"},
		"no kind":       {frame(`{}`), "of kind"},
		"other kind":    {frame(`{"Kind":"remove","Path":"/x"}`), "of kind"},
		"no recipient":  {frame(`{"Kind":"deliver"}`), "no recipient"},
		"wrong type":    {frame(`{"Kind":"deliver","Envelope":{"To":"games"}}`), "malformed"},
		"other target":  {frame(`{"Kind":"deliver","Envelope":{"To":{"local":"games"},"Target":{"Kind":9}}}`), "target"},
		"nobody's":      {frame(`{"Kind":"forward"}`), "no user"},
		"relative":      {frame(`{"Kind":"include","User":"games","Path":"x"}`), "path"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("unix", h.socket)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			before := len(h.log.String())
			if _, err := conn.Write(tt.send); err != nil {
				t.Fatal(err)
			}
			if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if answer, err := io.ReadAll(conn); len(answer) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("answered %q, %v", answer, err)
			}
			if said := h.log.String()[before:]; !strings.Contains(said, tt.words) {
				t.Errorf("log has %q, want %q", said, tt.words)
			}
		})
	}
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "")
}

// large is longer than a socket holds, so that it is still being sent when the
// outcome is known.
var large = strings.Repeat("a line of text\n", 300_000)

func TestEarlyOutcomes(t *testing.T) {
	h := newHost(t)
	want(t, h.client.Deliver(t.Context(), envelope("no-such-user"), text("\n"+large)), queue.Failed, "5.1.1", "unknown local user")
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("Delivered-To: games@example.com\n\n"+large)), queue.Failed, "5.4.6", "loop")
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("Subject: x\n\n"+large)), queue.Delivered, "2.0.0", "")
	if got := h.read(t, "games"); !strings.HasSuffix(got, entry+"Subject: x\n\n"+large+"\n") {
		t.Errorf("mailbox has %d bytes", len(got))
	}
}

func TestNobodyHelps(t *testing.T) {
	dir := t.TempDir()
	missing := mailboxd.NewClient(dir + "/helper.sock")
	want(t, missing.Deliver(t.Context(), envelope("games"), text("\n")), queue.Temporary, "4.3.5",
		"local delivery helper is not running: systemctl enable --now postrider-local.socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dir + "/helper.sock", Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	want(t, missing.Deliver(t.Context(), envelope("games"), text("\n")), queue.Temporary, "4.3.5", "refused")
}

func TestClientBelievesNoNonsense(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":       "",
		"not an answer": "\x00\x00\x00\x02hi",
		"not ended":     "\x00\x00\x00\x2e" + `{"Result":0,"Status":"4.0.0","Text":"pending"}`,
		"contradiction": "\x00\x00\x00\x28" + `{"Result":2,"Status":"5.0.0","Text":"x"}`,
	} {
		t.Run(name, func(t *testing.T) {
			client := &mailboxd.Client{Dial: func(context.Context) (net.Conn, error) {
				ours, theirs := net.Pipe()
				go func() {
					go func() { _, _ = io.Copy(io.Discard, theirs) }()
					_, _ = io.WriteString(theirs, answer)
					_ = theirs.Close()
				}()
				return ours, nil
			}}
			want(t, client.Deliver(t.Context(), envelope("games"), text("")), queue.Temporary, "4.3.0", "")
		})
	}
}

// A .forward is an answer only where one is looked for: the text would be taken for
// that of a user whom the target names.
func TestForwardOfACommandIsNonsense(t *testing.T) {
	for kind, result := range map[queue.TargetKind]queue.Result{
		queue.TargetUser: queue.Expanded, queue.TargetAddress: queue.Expanded,
		queue.TargetMailbox: queue.Temporary, queue.TargetFile: queue.Temporary, queue.TargetCommand: queue.Temporary,
	} {
		client := &mailboxd.Client{Dial: func(context.Context) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				go func() { _, _ = io.Copy(io.Discard, theirs) }()
				answer := fmt.Sprintf(`{"Result":%d,"Status":"2.0.0","Text":"x","Forward":"Ym9i"}`, queue.Expanded)
				_, _ = theirs.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
				_ = theirs.Close()
			}()
			return ours, nil
		}}
		if got := client.Deliver(t.Context(), target(kind, "games", ""), text("")); got.Result != result {
			t.Errorf("target of kind %d: %+v", kind, got)
		}
	}
}

// stalling is a message of which a part comes, and the rest when goOn is closed.
func stalling(goOn <-chan struct{}, rest io.Reader) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("Subject: torn\n\n"+large), waiter{goOn}, rest)), nil
	}
}

type waiter struct{ goOn <-chan struct{} }

func (w waiter) Read([]byte) (int, error) { <-w.goOn; return 0, io.EOF }

type failure struct{}

func (failure) Read([]byte) (int, error) { return 0, errors.New("spool is unreadable") }

// begun waits until a part of the message is in the mailbox, and finds the process
// that put it there.
func (h *host) begun(t *testing.T) (pid int) {
	t.Helper()
	until(t, "a part is in the mailbox", func() bool { return len(h.read(t, "games")) > len(large)/2 })
	lock, err := os.ReadFile(h.mail + "/games.lock")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(lock), &pid); err != nil {
		t.Fatal(err)
	}
	return pid
}

func TestUnfinishedMessageLeavesMailboxAsItWas(t *testing.T) {
	h := newHost(t)
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nfirst\n")), queue.Delivered, "2.0.0", "")
	before := h.read(t, "games")
	isBack := func() bool {
		_, err := os.Lstat(h.mail + "/games.lock")
		return errors.Is(err, os.ErrNotExist) && h.read(t, "games") == before
	}
	t.Run("unreadable", func(t *testing.T) {
		goOn := make(chan struct{})
		close(goOn)
		want(t, h.client.Deliver(t.Context(), envelope("games"), stalling(goOn, failure{})), queue.Temporary, "4.3.0", "spool is unreadable")
		until(t, "the mailbox is as it was", isBack)
	})
	t.Run("gone", func(t *testing.T) {
		gone := func() (io.ReadCloser, error) { return nil, errors.New("no such message") }
		want(t, h.client.Deliver(t.Context(), envelope("games"), gone), queue.Temporary, "4.3.0", "no such message")
		until(t, "the mailbox is as it was", isBack)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		goOn := make(chan struct{})
		defer cancel()
		out := make(chan local.Outcome)
		go func() { out <- h.client.Deliver(ctx, envelope("games"), stalling(goOn, strings.NewReader(large))) }()
		h.begun(t)
		cancel()
		close(goOn)
		want(t, <-out, queue.Temporary, "4.3.0", "cancel")
		until(t, "the mailbox is as it was", isBack)
	})
}

func TestKilledInTheMiddle(t *testing.T) {
	h := newHost(t)
	goOn := make(chan struct{})
	out := make(chan local.Outcome)
	go func() {
		out <- h.client.Deliver(t.Context(), envelope("games"), stalling(goOn, strings.NewReader(large)))
	}()
	pid := h.begun(t)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	want(t, <-out, queue.Temporary, "4.3.0", "delivery as user games was cut short: delivering process ended with signal: killed")
	// It is delivered again, whole, in spite of the lock that was left.
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("Subject: again\n\nx\n")), queue.Delivered, "2.0.0", "")
	if got := h.read(t, "games"); !strings.HasSuffix(got, "\n\n"+lastEntry(got)) || !strings.HasSuffix(got, entry+"Subject: again\n\nx\n\n") {
		t.Errorf("mailbox ends in %q", got[max(0, len(got)-300):])
	}
}

func lastEntry(mailbox string) string { return mailbox[strings.LastIndex(mailbox, "From bob"):] }

func TestProcessIsTheUserAndNobodyElses(t *testing.T) {
	h := newHost(t)
	uid, gid := ids(t, "games")
	_, group := ids(t, "mail")
	goOn := make(chan struct{})
	out := make(chan local.Outcome)
	go func() { out <- h.client.Deliver(t.Context(), envelope("games"), stalling(goOn, strings.NewReader(""))) }()
	proc := fmt.Sprintf("/proc/%d/", h.begun(t))
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		fmt.Sprintf("Uid:\t%d\t%d\t%d\t%d\n", uid, uid, uid, uid),
		fmt.Sprintf("Gid:\t%d\t%d\t%d\t%d\n", group, group, group, group),
		fmt.Sprintf("Groups:\t%d ", gid),
		"CapPrm:\t0000000000000000\n",
		"CapEff:\t0000000000000000\n",
	} {
		if !strings.Contains(string(status), line) {
			t.Errorf("status lacks %q:\n%s", line, status)
		}
	}
	// It has a group that the user lacks: nobody may look into it or take it over.
	if raw, err := as(t, "games", "test-read", proc+"environ"); err == nil || !strings.Contains(string(raw), "permission denied") {
		t.Errorf("the user looked into the process: %v %s", err, raw)
	}
	if environ, err := os.ReadFile(proc + "environ"); err != nil || len(environ) > 0 {
		t.Errorf("environment %q, %v", environ, err)
	}
	close(goOn)
	want(t, <-out, queue.Delivered, "2.0.0", "")
}

// TestUsersOwnDirectory: where the user could lead us elsewhere, the process has
// no group but the user's.
func TestUsersOwnDirectory(t *testing.T) {
	h := newHost(t, func(s *mailboxd.Server) {
		load := s.Load
		s.Load = func() (mailboxd.Settings, error) {
			settings, err := load()
			settings.Template = "mbox:" + filepath.Dir(settings.Spool) + "/{user}/mbox"
			return settings, err
		}
	})
	dir := h.dir
	uid, gid := ids(t, "games")
	if err := errors.Join(os.Mkdir(dir+"/games", 0o700), os.Chown(dir+"/games", int(uid), int(gid))); err != nil {
		t.Fatal(err)
	}
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "")
	wantFile(t, dir+"/games/mbox", uid, gid, 0o600)
	if err := errors.Join(os.Remove(dir+"/games/mbox"), os.Remove(dir+"/games"), os.Symlink(h.mail, dir+"/games"), os.Lchown(dir+"/games", int(uid), int(gid))); err != nil {
		t.Fatal(err)
	}
	out := h.client.Deliver(t.Context(), envelope("games"), text("\nx\n"))
	if out.Result != queue.Temporary || !strings.Contains(out.Text, "permission denied") || h.read(t, "mbox") != "" {
		t.Errorf("%+v", out)
	}
}

func TestBadSettings(t *testing.T) {
	var template atomic.Value
	h := newHost(t, func(s *mailboxd.Server) {
		s.Load = func() (mailboxd.Settings, error) {
			if t, ok := template.Load().(string); ok {
				return mailboxd.Settings{Template: t}, nil
			}
			return mailboxd.Settings{}, errors.New("postrider.toml:1: unknown key")
		}
	})
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("")), queue.Temporary, "4.3.0", "broke off")
	if !strings.Contains(h.log.String(), "unknown key") {
		t.Error(h.log)
	}
	template.Store("off")
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("")), queue.Failed, "5.7.1", "off")
	template.Store("maildir:x")
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("")), queue.Temporary, "4.3.5", "local.mailbox")
}

func TestConcurrentDeliveries(t *testing.T) {
	h := newHost(t)
	const each = 6
	users := []string{"games", "bin"}
	var wg sync.WaitGroup
	for i := range each * len(users) {
		wg.Go(func() {
			out := h.client.Deliver(t.Context(), envelope(users[i%len(users)]), text(fmt.Sprintf("Subject: %d\n\nx\n", i)))
			if out.Result != queue.Delivered {
				t.Errorf("%+v", out)
			}
		})
	}
	wg.Wait()
	for n, name := range users {
		got := h.read(t, name)
		for i := n; i < each*len(users); i += len(users) {
			if strings.Count(got, fmt.Sprintf("Subject: %d\n\nx\n\n", i)) != 1 {
				t.Errorf("%s lacks message %d", name, i)
			}
		}
	}
}

func TestServerEndsWhenIdle(t *testing.T) {
	l, err := net.Listen("unix", t.TempDir()+"/helper.sock")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(t.TempDir(), io.Discard)
	server.Idle = 10 * time.Millisecond
	if err := server.Serve(t.Context(), l); err != nil {
		t.Error(err)
	}
}

func TestInheritedListener(t *testing.T) {
	h := newDirectories(t)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("/proc/self/exe", "test-serve", h.dir)
	cmd.Stdin, cmd.Stderr = f, h.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}

func TestInheritedNothing(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if _, _, err := mailboxd.Inherited(null); err == nil || !strings.Contains(err.Error(), "postrider-local.socket") {
		t.Error(err)
	}
}

func TestStartedHelper(t *testing.T) {
	h := newDirectories(t)
	helper, err := mailboxd.Start([]string{"test-serve", h.dir}, h.log)
	if err != nil {
		t.Fatal(err)
	}
	client := &mailboxd.Client{Dial: helper.Dial}
	for range 3 {
		want(t, client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "")
	}
	if err := helper.Close(); err != nil {
		t.Errorf("%v: %s", err, h.log)
	}
	want(t, client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Temporary, "4.3.5", "restart postrider")
}

func TestStartedHelperFails(t *testing.T) {
	h := newDirectories(t)
	helper, err := mailboxd.Start([]string{"test-serve", "--no-such-directory"}, h.log)
	if err != nil {
		t.Fatal(err)
	}
	client := &mailboxd.Client{Dial: helper.Dial}
	want(t, client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Temporary, "4.3.5", "must begin with")
	if err := helper.Close(); err != nil {
		t.Error(err)
	}
	dead, err := mailboxd.Start([]string{"test-read", "/nonexistent"}, h.log)
	if err != nil {
		t.Fatal(err)
	}
	client.Dial = dead.Dial
	until(t, "it is known that the helper has ended", func() bool {
		return strings.Contains(client.Deliver(t.Context(), envelope("games"), text("\nx\n")).Text, "restart postrider")
	})
	if err := dead.Close(); err == nil {
		t.Error("an exit status was lost")
	}
}
