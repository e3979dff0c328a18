package mailboxd_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/delivery/local"
	"postrider/internal/mailboxd"
	"postrider/queue"
)

// newTargetHost is a host whose users' .forward files are in a directory of root's.
func newTargetHost(t *testing.T, change ...func(*mailboxd.Settings)) *host {
	t.Helper()
	h := newHost(t, func(s *mailboxd.Server) {
		load := s.Load
		s.Load = func() (mailboxd.Settings, error) {
			settings, err := load()
			dir := strings.TrimSuffix(settings.Spool, "/spool")
			settings.Forward = dir + "/forward/{user}"
			for _, c := range change {
				c(&settings)
			}
			return settings, err
		}
	})
	uid, _ := ids(t, "games")
	other, _ := ids(t, "nobody")
	err := errors.Join(os.Mkdir(h.dir+"/forward", 0o755), os.Mkdir(h.dir+"/games", 0o755), os.Mkdir(h.dir+"/nobody", 0o755),
		os.Chown(h.dir+"/games", int(uid), -1), os.Chown(h.dir+"/nobody", int(other), -1))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *host) put(t *testing.T, path, content, owner string) {
	t.Helper()
	uid, gid := ids(t, owner)
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chown(path, int(uid), int(gid))); err != nil {
		t.Fatal(err)
	}
}

func target(kind queue.TargetKind, value, user string) local.Envelope {
	e := envelope("list")
	e.Target = queue.Target{Kind: kind, Value: value, User: user, Extension: "ext"}
	return e
}

func TestForward(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	if out := h.client.Forward(t.Context(), "games"); out != (local.Outcome{}) {
		t.Errorf("%+v", out)
	}
	want(t, h.client.Deliver(t.Context(), target(queue.TargetUser, "games", ""), text("\nfirst\n")), queue.Delivered, "2.0.0", h.mail+"/games")
	_, group := ids(t, "mail")
	uid, _ := ids(t, "games")
	wantFile(t, h.mail+"/games", uid, group, 0o600)

	// Any bytes come through.
	wanted := "bob\n" + strings.Repeat("\x00\xff\x01\"\n", (64<<10-4)/5)
	h.put(t, h.dir+"/forward/games", wanted, "games")
	for _, out := range []local.Outcome{
		h.client.Forward(t.Context(), "games"),
		h.client.Deliver(t.Context(), target(queue.TargetUser, "games", ""), text("\n"+large)),
		h.client.Deliver(t.Context(), envelope("Games+x"), text("\nx\n")),
	} {
		want(t, out, queue.Expanded, "2.0.0", "forwarded by "+h.dir+"/forward/games")
		if out.Forward != wanted {
			t.Errorf("%d bytes, want %d", len(out.Forward), len(wanted))
		}
	}
	want(t, h.client.Deliver(t.Context(), target(queue.TargetMailbox, "games", ""), text("\nsecond\n")), queue.Delivered, "2.0.0", h.mail+"/games")
	if got := strings.Count(h.read(t, "games"), "From bob"); got != 2 {
		t.Errorf("%d messages", got)
	}
	// The user reads it, not root.
	h.put(t, h.dir+"/forward/games", "bob\n", "root")
	if err := os.Chmod(h.dir+"/forward/games", 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, h.client.Forward(t.Context(), "games"), queue.Temporary, "4.3.0", "permission denied")
	h.put(t, h.dir+"/forward/games", "bob\n", "nobody")
	if err := os.Chmod(h.dir+"/forward/games", 0o644); err != nil {
		t.Fatal(err)
	}
	if out := h.client.Forward(t.Context(), "games"); out != (local.Outcome{}) {
		t.Errorf("%+v", out)
	}
	until(t, "it is logged", func() bool { return strings.Contains(h.log.String(), "ignored a .forward") })
}

func TestInclude(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	wanted := strings.Repeat("somebody@example.com, \xff\n", 40_000)
	h.put(t, h.dir+"/games/list", wanted, "games")
	for _, user := range []string{"games", ""} {
		out := h.client.Include(t.Context(), user, h.dir+"/games/list")
		want(t, out, queue.Expanded, "2.0.0", "read")
		if out.Forward != wanted {
			t.Errorf("%d bytes, want %d", len(out.Forward), len(wanted))
		}
	}
	want(t, h.client.Include(t.Context(), "games", h.dir+"/games/none"), queue.Failed, "5.2.4", "does not exist")
	if err := os.Chmod(h.dir+"/games/list", 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, h.client.Include(t.Context(), "", h.dir+"/games/list"), queue.Temporary, "4.2.4", "as user nobody")
}

func TestNothingIsDoneAsRoot(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	h.put(t, h.dir+"/forward/root", "bob\n", "root")
	h.put(t, h.dir+"/list", "bob\n", "root")
	const said = "nothing is done as root"
	want(t, h.client.Deliver(t.Context(), target(queue.TargetCommand, "touch "+h.dir+"/ran", "root"), text("\nx\n")), queue.Failed, "5.7.1", said)
	want(t, h.client.Deliver(t.Context(), target(queue.TargetFile, h.dir+"/file", "root"), text("\nx\n")), queue.Failed, "5.7.1", said)
	want(t, h.client.Include(t.Context(), "root", h.dir+"/list"), queue.Failed, "5.7.1", said)
	if out := h.client.Forward(t.Context(), "root"); out != (local.Outcome{}) {
		t.Errorf("%+v", out)
	}
	want(t, h.client.Deliver(t.Context(), target(queue.TargetUser, "root", ""), text("\nx\n")), queue.Delivered, "2.0.0", h.mail+"/root")
	for _, name := range []string{"../root", "no-such-user", "-x", "a:b"} {
		want(t, h.client.Deliver(t.Context(), target(queue.TargetCommand, "touch "+h.dir+"/ran", name), text("\nx\n")), queue.Failed, "5.1.1", "unknown local user")
	}
	rooted := newTargetHost(t, func(s *mailboxd.Settings) { s.DefaultUser = "root" })
	want(t, rooted.client.Deliver(t.Context(), target(queue.TargetCommand, "touch "+h.dir+"/ran", ""), text("\nx\n")), queue.Temporary, "4.3.5", "must not be root")
	pipe := newTargetHost(t, func(s *mailboxd.Settings) { s.Template = "pipe:/usr/bin/touch " + h.dir + "/ran" })
	want(t, pipe.client.Deliver(t.Context(), envelope("root"), text("\nx\n")), queue.Temporary, "4.3.5", "alias file")
	for _, name := range []string{"ran", "file"} {
		if _, err := os.Lstat(h.dir + "/" + name); err == nil {
			t.Errorf("%s was made", name)
		}
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	for user, path := range map[string]string{"": h.dir + "/nobody/archive", "games": h.dir + "/games/archive"} {
		name := user
		if user == "" {
			name = "nobody"
		}
		uid, gid := ids(t, name)
		want(t, h.client.Deliver(t.Context(), target(queue.TargetFile, path, user), text("Subject: x\n\ny\n")), queue.Delivered, "2.0.0", path)
		wantFile(t, path, uid, gid, 0o600)
	}
	want(t, h.client.Deliver(t.Context(), target(queue.TargetFile, h.mail+"/x", "games"), text("\nx\n")), queue.Temporary, "4.3.0", "permission denied")
	want(t, h.client.Deliver(t.Context(), target(queue.TargetFile, os.DevNull, ""), text("\n"+large)), queue.Delivered, "2.0.0", "discarded")
}

// TestCommandIsTheUserAndNoMore: the process that runs a command for a user has
// less than one that delivers to the same user's mailbox.
func TestCommandIsTheUserAndNoMore(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	for user, name := range map[string]string{"": "nobody", "games": "games"} {
		uid, gid := ids(t, name)
		out := h.client.Deliver(t.Context(), target(queue.TargetCommand, "grep -E '^(Uid|Gid|Groups|CapEff|NoNewPrivs|SigIgn|Umask|Seccomp):' /proc/self/status", user), text("\nx\n"))
		want(t, out, queue.Delivered, "2.0.0", "")
		for _, words := range []string{
			"Umask: 0077 ",
			fmt.Sprintf("Uid: %d %d %d %d Gid: %d %d %d %d ", uid, uid, uid, uid, gid, gid, gid, gid),
			"Groups: " + fmt.Sprint(gid) + " ",
			"SigIgn: " + ignored(t) + " ", "CapEff: 0000000000000000 ", "NoNewPrivs: 0 ",
		} {
			if !strings.Contains(out.Text, words) {
				t.Errorf("%s: %s; want %q", name, out.Text, words)
			}
		}
	}
	if out := h.client.Deliver(t.Context(), target(queue.TargetCommand, "ls /proc/self/fd", ""), text("\nx\n")); !strings.HasSuffix(out.Text, ": 0 1 2 3") {
		t.Errorf("%+v", out)
	}
	out := h.client.Deliver(t.Context(), target(queue.TargetCommand, "env", ""), text("\nx\n"))
	for _, words := range []string{"USER=nobody ", "EXTENSION=ext ", "RECIPIENT=list@example.com", "ORIGINAL_RECIPIENT=someone@example.com", "SHELL=/usr/sbin/nologin "} {
		if !strings.Contains(out.Text, words) {
			t.Errorf("%s; want %q", out.Text, words)
		}
	}
}

// ignored are the signals that this process was started with as ignored: a command
// ignores those, and none that we have come to ignore.
func ignored(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("grep", "SigIgn:", "/proc/self/status").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))[1]
}

func TestCommandsOutcome(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t, func(s *mailboxd.Settings) { s.CommandTimeout = time.Second })
	run := func(line string) local.Outcome {
		return h.client.Deliver(t.Context(), target(queue.TargetCommand, line, "games"), text("Subject: x\n\n"+large))
	}
	want(t, run("cksum; exit 67"), queue.Failed, "5.1.1", "exit status 67: ")
	want(t, run("wc -l"), queue.Delivered, "2.0.0", ": 300006")
	// It reads nothing, or half: the rest is no loss.
	want(t, run("true"), queue.Delivered, "2.0.0", "delivered to command")
	want(t, run("head -c 100000 | wc -c"), queue.Delivered, "2.0.0", ": 100000")
	want(t, run("exit 75"), queue.Temporary, "4.3.0", "exit status 75")
	want(t, run("sleep 600"), queue.Temporary, "4.3.0", "took longer than 1s")
	want(t, run("echo '"+strings.Repeat("\u00e9", 3000)+"'; exit 65"), queue.Failed, "5.6.0", "\u00e9")
	want(t, h.client.Deliver(t.Context(), target(queue.TargetCommand, strings.Repeat("x", 70_000), "games"), text("")), queue.Temporary, "4.3.0", "at most")
}

// TestCommandNeverTakesAPartForAll: the connection breaks in the middle.
func TestCommandNeverTakesAPartForAll(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	goOn := make(chan struct{})
	out := make(chan local.Outcome)
	dir := h.dir + "/games"
	go func() {
		line := fmt.Sprintf("echo $$ > %s/pid; cat > %s/part; touch %s/complete", dir, dir, dir)
		out <- h.client.Deliver(ctx, target(queue.TargetCommand, line, "games"), stalling(goOn, strings.NewReader(large)))
	}()
	until(t, "a part has come", func() bool {
		fi, err := os.Stat(dir + "/part")
		return err == nil && fi.Size() > int64(len(large)/2)
	})
	cancel()
	close(goOn)
	want(t, <-out, queue.Temporary, "4.3.0", "cancel")
	pid, err := os.ReadFile(dir + "/pid")
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the command is gone", func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	if _, err := os.Stat(dir + "/complete"); err == nil {
		t.Error("the command took a part for the whole message")
	}
}

// TestCommandsHoldUpNoMailbox: a command of the user's that hangs, and others that
// run beside it.
func TestCommandsHoldUpNoMailbox(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	dir := h.dir + "/games"
	if err := errors.Join(syscall.Mkfifo(dir+"/gate", 0o666), os.Chmod(dir+"/gate", 0o666)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			line := fmt.Sprintf("touch %s/%d; cat < %s/gate", dir, i, dir)
			if out := h.client.Deliver(t.Context(), target(queue.TargetCommand, line, "games"), text("\nx\n")); out.Result != queue.Delivered {
				t.Errorf("%+v", out)
			}
		})
	}
	until(t, "three run at once", func() bool {
		return !slices.ContainsFunc([]string{"0", "1", "2"}, func(name string) bool { _, err := os.Stat(dir + "/" + name); return err != nil })
	})
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "")
	// Opened for reading and writing, it lets them begin to read; closed, end.
	gate, err := os.OpenFile(dir+"/gate", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "all have opened it", func() bool { return openedBy(dir+"/gate") >= 3 })
	gate.Close()
	wg.Wait()
}

// openedBy counts the processes named cat that have a file open.
func openedBy(path string) int {
	n := 0
	processes, _ := os.ReadDir("/proc")
	for _, p := range processes {
		if to, err := os.Readlink("/proc/" + p.Name() + "/fd/0"); err == nil && to == path {
			if name, err := os.ReadFile("/proc/" + p.Name() + "/comm"); err == nil && string(name) == "cat\n" {
				n++
			}
		}
	}
	return n
}

func TestMaildirAndPipeMailboxes(t *testing.T) {
	t.Parallel()
	uid, gid := ids(t, "games")
	_, group := ids(t, "mail")
	h := newTargetHost(t, func(s *mailboxd.Settings) { s.Template = strings.TrimSuffix(s.Spool, "/spool") })
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Temporary, "4.3.5", "local.mailbox")

	h = newTargetHost(t, func(s *mailboxd.Settings) {
		s.Template = "maildir:" + strings.TrimSuffix(s.Spool, "/spool") + "/mail/{user}"
	})
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "maildir "+h.mail+"/games")
	wantFile(t, h.mail+"/games", uid, group, os.ModeDir|os.ModeSetgid|0o700)
	h = newTargetHost(t, func(s *mailboxd.Settings) {
		s.Template = "maildir:" + strings.TrimSuffix(s.Spool, "/spool") + "/{user}/Maildir/"
	})
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Delivered, "2.0.0", "maildir "+h.dir+"/games/Maildir")
	wantFile(t, h.dir+"/games/Maildir", uid, gid, os.ModeDir|0o700)

	h = newTargetHost(t, func(s *mailboxd.Settings) { s.Template = "maildir:" + s.Spool + "/none/{user}" })
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Temporary, "4.3.5", "its directory does not exist, make it")

	h = newTargetHost(t, func(s *mailboxd.Settings) { s.Template = "pipe:/usr/bin/id -g {user}" })
	want(t, h.client.Deliver(t.Context(), envelope("games+x"), text("\n"+large)), queue.Delivered, "2.0.0", fmt.Sprintf(": %d", gid))
	h.put(t, h.dir+"/forward/games", "bob\n", "games")
	want(t, h.client.Deliver(t.Context(), envelope("games+x"), text("\n"+large)), queue.Expanded, "2.0.0", "")

	h = newTargetHost(t, func(s *mailboxd.Settings) { s.Template = "lmtp:unix:/x" })
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("\nx\n")), queue.Temporary, "4.3.5", "LMTP")
	h.put(t, h.dir+"/forward/games", "bob\n", "games")
	want(t, h.client.Forward(t.Context(), "games"), queue.Expanded, "2.0.0", "")
	want(t, h.client.Deliver(t.Context(), target(queue.TargetCommand, "wc -c", ""), text("\nx\n")), queue.Delivered, "2.0.0", "")
}

// TestLoopsEndBeforeForwarding: and what is unreadable before anything is run.
func TestLoopsEndBeforeForwarding(t *testing.T) {
	t.Parallel()
	h := newTargetHost(t)
	h.put(t, h.dir+"/forward/games", "bob\n", "games")
	want(t, h.client.Deliver(t.Context(), envelope("games"), text("Delivered-To: games@example.com\n\n"+large)), queue.Failed, "5.4.6", "loop")
	broken := func() (io.ReadCloser, error) { return io.NopCloser(failure{}), nil }
	want(t, h.client.Deliver(t.Context(), target(queue.TargetCommand, "touch "+h.dir+"/games/ran", "games"), broken), queue.Temporary, "4.3.0", "unreadable")
	if _, err := os.Stat(h.dir + "/games/ran"); err == nil {
		t.Error("ran a command without a message")
	}
}
