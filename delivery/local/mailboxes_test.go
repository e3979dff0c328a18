package local_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

func newMailboxes(t *testing.T, o local.Options) *local.Mailboxes {
	t.Helper()
	m, err := local.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func want(t *testing.T, got local.Outcome, result queue.Result, status, words string) {
	t.Helper()
	if got.Result != result || got.Status != status || !strings.Contains(got.Text, words) || strings.Contains(got.Text, "\n") {
		t.Fatalf("got %v %s %q; want %v %s with %q", got.Result, got.Status, got.Text, result, status, words)
	}
}

// onlyMailbox fails if locks or temporary files were left behind.
func onlyMailbox(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".lock") {
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func TestDeliverFormat(t *testing.T) {
	tests := []struct {
		name    string
		env     local.Envelope
		message string
		want    string
	}{
		{"plain", envelope(), "Subject: hi\n\nhello\n",
			"From bob@example.net Wed Mar  4 12:00:00 2026\nReturn-Path: <bob@example.net>\nX-Original-To: alice@example.com\nDelivered-To: alice@example.com\nSubject: hi\n\nhello\n\n"},
		{"null sender and original", local.Envelope{To: envelope().To, Original: "rfc822;root@example.com"}, "Subject: hi\n\nhello\n",
			"From MAILER-DAEMON Wed Mar  4 12:00:00 2026\nReturn-Path: <>\nX-Original-To: root@example.com\nDelivered-To: alice@example.com\nSubject: hi\n\nhello\n\n"},
		{"untyped original", local.Envelope{To: envelope().To, Original: "root"}, "\n",
			"From MAILER-DAEMON Wed Mar  4 12:00:00 2026\nReturn-Path: <>\nX-Original-To: root\nDelivered-To: alice@example.com\n\n\n"},
		{"From lines", envelope(), "Subject: hi\n\nFrom here\n>From there\n From\nFromage\nnot From \nFrom ",
			top + "Subject: hi\n\n>From here\n>From there\n From\nFromage\nnot From \n>From \n\n"},
		{"no final line end", envelope(), "Subject: hi\n\nhello", top + "Subject: hi\n\nhello\n\n"},
		{"header only", envelope(), "Subject: hi\n", top + "Subject: hi\n\n"},
		{"misleading fields", envelope(), "Return-Path: <x@y>\n z\nA: 1\ncontent-length : 5\nReturn-Pathology: x\n\nReturn-Path: stays\n",
			top + "A: 1\nReturn-Pathology: x\n\nReturn-Path: stays\n\n"},
		{"hostile sender", local.Envelope{From: address.Address{Local: "a b\nFrom x", Domain: "example.net"}, To: envelope().To}, "\n",
			"From \"a_b_From_x\"@example.net Wed Mar  4 12:00:00 2026\nReturn-Path: <\"a b_From x\"@example.net>\nX-Original-To: alice@example.com\nDelivered-To: alice@example.com\n\n\n"},
		{"long lines", envelope(), "Subject: hi\n\n" + strings.Repeat("x", 200_000) + "From here\nFrom " + strings.Repeat("y", 200_000) + "\n",
			top + "Subject: hi\n\n" + strings.Repeat("x", 200_000) + "From here\n>From " + strings.Repeat("y", 200_000) + "\n\n"},
		{"bytes as they are", envelope(), "Subject: \xff\n\n\x00\xe4\r\n", top + "Subject: \xff\n\n\x00\xe4\r\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			m := newMailboxes(t, options(dir, os.Getuid()))
			want(t, m.Deliver(t.Context(), tt.env, text(tt.message)), queue.Delivered, "2.0.0", "delivered to")
			if got := read(t, dir+"/alice"); got != tt.want {
				t.Errorf("got\n%.500q\nwant\n%.500q", got, tt.want)
			}
			onlyMailbox(t, dir)
		})
	}
}

const top = "From bob@example.net Wed Mar  4 12:00:00 2026\nReturn-Path: <bob@example.net>\nX-Original-To: alice@example.com\nDelivered-To: alice@example.com\n"

func TestRecipients(t *testing.T) {
	tests := []struct {
		local  string
		result queue.Result
		status string
	}{
		{"alice", queue.Delivered, "2.0.0"},
		{"Alice", queue.Delivered, "2.0.0"},
		{"alice+lists", queue.Delivered, "2.0.0"},
		{"ALICE+Lists+more", queue.Delivered, "2.0.0"},
		{"bob", queue.Failed, "5.1.1"},
		{"+alice", queue.Failed, "5.1.1"},
		{"", queue.Failed, "5.1.1"},
		{"../alice", queue.Failed, "5.1.1"},
		{"x/alice", queue.Failed, "5.1.1"},
		{"trouble", queue.Temporary, "4.3.0"},
		{"evil", queue.Temporary, "4.3.5"},
	}
	for _, tt := range tests {
		t.Run(tt.local, func(t *testing.T) {
			dir := t.TempDir()
			o := options(dir, os.Getuid())
			alice := o.Lookup
			o.Lookup = func(name string) (*local.User, error) {
				switch name {
				case "trouble":
					return nil, errors.New("directory is down")
				case "evil":
					return &local.User{Name: "../../etc/cron.d/x"}, nil
				case "../alice", "x/alice", "":
					t.Errorf("looked up %q", name)
				}
				return alice(name)
			}
			env := envelope()
			env.To.Local = tt.local
			want(t, newMailboxes(t, o).Deliver(t.Context(), env, text("\nx\n")), tt.result, tt.status, "")
			if _, err := os.Stat(dir + "/alice"); (err == nil) != (tt.result == queue.Delivered) {
				t.Errorf("mailbox: %v", err)
			}
		})
	}
}

func TestTemplates(t *testing.T) {
	for template, words := range map[string]string{
		"mmdf:/x/{user}":              "mbox:PATH",
		"off:":                        "mbox:PATH",
		"":                            "mbox:PATH",
		"mbox:{user}":                 "must begin with",
		"maildir:{user}":              "must begin with",
		"mbox:/x/{usr}":               `"{usr}"`,
		"mbox:/x/{user}/{extension}":  `"{extension}"`,
		"mbox:/x/{user":               `"{user"`,
		"mbox:/var/mail/all":          "share one file",
		"mbox:/x/{user}{home}":        "only begin",
		"mbox:/x/{user}/":             "name a file",
		"pipe:":                       "takes a shell",
		"pipe:/bin/cat > /tmp/x":      "takes a shell",
		"pipe:/bin/cat \"$USER\"":     "takes a shell",
		"pipe:procmail -d {user}":     "absolute",
		"pipe:/bin/cat {usr}":         `"{usr}"`,
		"pipe:/bin/cat '{user' 'x }'": `"{user' 'x }"`,
	} {
		if _, err := local.New(local.Options{Template: template}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v; want %q", template, err, words)
		}
	}
	for forward, words := range map[string]string{
		".forward":          "must begin with",
		"/etc/forward":      "share one file",
		"{home}/{domain}":   `"{domain}"`,
		"/x/{user}/{home}/": "only begin",
	} {
		if _, err := local.New(local.Options{Template: "off", Forward: forward}); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v; want %q", forward, err, words)
		}
	}
	lmtp := newMailboxes(t, local.Options{Template: "lmtp:unix:/run/dovecot/lmtp"})
	want(t, lmtp.Deliver(t.Context(), envelope(), text("")), queue.Temporary, "4.3.5", "LMTP")
	off := newMailboxes(t, local.Options{Template: "off"})
	want(t, off.Deliver(t.Context(), envelope(), text("")), queue.Failed, "5.7.1", "local delivery is off")
}

func TestTemplateDomain(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, os.Getuid())
	o.Template = "mbox:" + dir + "/{domain}/{user}"
	m := newMailboxes(t, o)
	env := envelope()
	want(t, m.Deliver(t.Context(), env, text("\nx\n")), queue.Temporary, "4.3.0", "example.com")
	if err := os.Mkdir(dir+"/example.com", 0o755); err != nil {
		t.Fatal(err)
	}
	env.To.Domain = "Example.COM"
	want(t, m.Deliver(t.Context(), env, text("\nx\n")), queue.Delivered, "2.0.0", dir+"/example.com/alice")
	for _, domain := range []string{"..", "a/b", "", "x\x00"} {
		env.To.Domain = domain
		want(t, m.Deliver(t.Context(), env, text("\nx\n")), queue.Failed, "5.1.2", "domain")
	}
}

func TestLoop(t *testing.T) {
	tests := []struct {
		header string
		loops  bool
	}{
		{"Delivered-To: alice@example.com\n\n", true},
		{"A: b\ndelivered-TO:\n  Alice@Example.com\nB: c\n\n", true},
		{"Delivered-To: alice@example.com", true},
		{"Delivered-To: alice@example.net\nDelivered-To: alice@example.com\n\n", true},
		{"Delivered-To: alice@example.net\n\n", false},
		{"Delivered-To: malice@example.com\nX-Delivered-To: alice@example.com\n\n", false},
		{"A: b\n\nDelivered-To: alice@example.com\n", false},
		{"A: " + strings.Repeat("x", 100_000) + "\nDelivered-To: alice@example.com\n\n", true},
		{"A: " + strings.Repeat("x", 64<<10-3) + "Delivered-To: alice@example.com\n\n", false},
		{"A: b\n Delivered-To: alice@example.com\n\n", false},
	}
	for i, tt := range tests {
		dir := t.TempDir()
		out := newMailboxes(t, options(dir, os.Getuid())).Deliver(t.Context(), envelope(), text(tt.header))
		if loops := out.Status == "5.4.6" && out.Result == queue.Failed; loops != tt.loops {
			t.Errorf("%d: %+v", i, out)
		}
	}
}

func TestTornTail(t *testing.T) {
	for tail, gap := range map[string]string{"": "", "\n": "", "x\n\n": "", "x\n": "\n", "x": "\n\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/alice", []byte(tail), 0o600); err != nil {
			t.Fatal(err)
		}
		m := newMailboxes(t, options(dir, os.Getuid()))
		want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Delivered, "2.0.0", "")
		if got := read(t, dir+"/alice"); got != tail+gap+top+"\nx\n\n" {
			t.Errorf("after %q: %q", tail, got)
		}
	}
}

func TestOddFiles(t *testing.T) {
	tests := []struct {
		name  string
		make  func(path string) error
		words string
	}{
		{"symlink", func(p string) error {
			return errors.Join(os.WriteFile(p+".real", nil, 0o600), os.Symlink(p+".real", p))
		}, "symbolic link"},
		{"dangling symlink", func(p string) error { return os.Symlink("/nonexistent/x", p) }, "symbolic link"},
		{"hard link", func(p string) error {
			return errors.Join(os.WriteFile(p+".other", []byte("x"), 0o600), os.Link(p+".other", p))
		}, "2 names"},
		{"empty hard link", func(p string) error { return errors.Join(os.WriteFile(p+".other", nil, 0o600), os.Link(p+".other", p)) }, "2 names"},
		{"fifo", func(p string) error { return syscall.Mkfifo(p, 0o600) }, "not a regular file"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o700) }, "is a directory"},
		{"device", func(p string) error { return syscall.Mknod(p, syscall.S_IFCHR|0o600, 1<<8|3) }, "not a regular file"},
		{"another's", func(p string) error { return errors.Join(os.WriteFile(p, []byte("x"), 0o600), os.Chown(p, 4242, 4242)) }, "belongs to uid 4242"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := tt.make(dir + "/alice"); err != nil {
				if errors.Is(err, os.ErrPermission) {
					t.Skip("needs root")
				}
				t.Fatal(err)
			}
			out := newMailboxes(t, options(dir, os.Getuid())).Deliver(t.Context(), envelope(), text("\nx\n"))
			if out.Result != queue.Temporary || !strings.Contains(out.Text, tt.words) {
				t.Errorf("%+v", out)
			}
			onlyMailbox(t, dir)
		})
	}
}

// brokenReader fails after some text.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("spool is unreadable") }

func TestUnreadableMessageLeavesMailboxAsItWas(t *testing.T) {
	dir := t.TempDir()
	m := newMailboxes(t, options(dir, os.Getuid()))
	want(t, m.Deliver(t.Context(), envelope(), text("\nfirst\n")), queue.Delivered, "2.0.0", "")
	before := read(t, dir+"/alice")
	broken := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("\n"+strings.Repeat("second\n", 50_000)), brokenReader{})), nil
	}
	want(t, m.Deliver(t.Context(), envelope(), broken), queue.Temporary, "4.3.0", "spool is unreadable")
	if got := read(t, dir+"/alice"); got != before {
		t.Errorf("mailbox changed: %d bytes, before %d", len(got), len(before))
	}
	want(t, m.Deliver(t.Context(), envelope(), func() (io.ReadCloser, error) { return nil, errors.New("gone") }), queue.Temporary, "4.3.0", "gone")
	onlyMailbox(t, dir)
}

func TestCancelledDelivery(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	opened := 0
	open := func() (io.ReadCloser, error) {
		if opened++; opened == 2 {
			cancel()
		}
		return text("\nx\n")()
	}
	m := newMailboxes(t, options(dir, os.Getuid()))
	want(t, m.Deliver(ctx, envelope(), open), queue.Temporary, "4.3.0", "canceled")
	if got := read(t, dir+"/alice"); got != "" {
		t.Errorf("mailbox has %q", got)
	}
}

func TestNewMailboxBelongsToUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	m := newMailboxes(t, options(dir, 4242))
	// An empty file of root's is what a crash between create and chown leaves.
	if err := os.WriteFile(dir+"/alice", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Delivered, "2.0.0", "")
		fi, err := os.Stat(dir + "/alice")
		if err != nil {
			t.Fatal(err)
		}
		if st := fi.Sys().(*syscall.Stat_t); st.Uid != 4242 || fi.Mode().Perm() != 0o600 {
			t.Errorf("uid %d, mode %v", st.Uid, fi.Mode())
		}
		_ = os.Remove(dir + "/alice")
	}
}

func TestRootKeepsOutOfUsersDirectories(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	dir := t.TempDir()
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Mkdir(home, 0o755), os.Chown(home, 4242, 4242), os.Symlink(home, dir+"/link"), os.Mkdir(dir+"/open", 0o755), os.Chmod(dir+"/open", 0o777)); err != nil {
		t.Fatal(err)
	}
	for template, words := range map[string]string{
		"mbox:{home}/mbox":             "will not write to",
		"mbox:" + home + "/{user}":     "belongs to uid 4242",
		"mbox:" + dir + "/link/{user}": "belongs to uid 4242",
		"mbox:" + dir + "/open/{user}": "anyone may rename",
	} {
		o := options(dir, 4242)
		o.Template = template
		want(t, newMailboxes(t, o).Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.3.5", words)
	}
	missing := options(dir, 4242)
	missing.Template = "mbox:" + dir + "/nowhere/{user}"
	want(t, newMailboxes(t, missing).Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.3.0", "no such file")
}

func TestOtherUserIsToldWhatToSetUp(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	const nobody = 65534
	dir := publicDir(t)
	want(t, deliverAs(t, nobody, 4242, dir, 1, 0), queue.Temporary, "4.3.0", "group mail")
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	want(t, deliverAs(t, nobody, 4242, dir, 1, 0), queue.Temporary, "4.3.0", "only root can make one for alice")
	if err := errors.Join(os.WriteFile(dir+"/alice", nil, 0o600), os.Chown(dir+"/alice", 4242, 4242)); err != nil {
		t.Fatal(err)
	}
	want(t, deliverAs(t, nobody, 4242, dir, 1, 0), queue.Temporary, "4.3.0", "group mail")
	if err := errors.Join(os.Chown(dir+"/alice", 4242, nobody), os.Chmod(dir+"/alice", 0o660)); err != nil {
		t.Fatal(err)
	}
	want(t, deliverAs(t, nobody, 4242, dir, 1, 0), queue.Delivered, "2.0.0", "")
	onlyMailbox(t, dir)
}

func TestFileSizeLimit(t *testing.T) {
	dir := t.TempDir()
	first := deliverAs(t, os.Getuid(), os.Getuid(), dir, 10, 100_000)
	want(t, first, queue.Delivered, "2.0.0", "")
	before := read(t, dir+"/alice")
	want(t, deliverAs(t, os.Getuid(), os.Getuid(), dir, 20_000, 100_000), queue.Temporary, "4.2.2", "mailbox is full")
	if got := read(t, dir+"/alice"); got != before {
		t.Errorf("mailbox changed: %d bytes, before %d", len(got), len(before))
	}
	onlyMailbox(t, dir)
}

func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=755"); err != nil {
		t.Skip("cannot mount a tmpfs: ", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	m := newMailboxes(t, options(dir, os.Getuid()))
	want(t, m.Deliver(t.Context(), envelope(), text("\nfirst\n")), queue.Delivered, "2.0.0", "")
	before := read(t, dir+"/alice")
	want(t, m.Deliver(t.Context(), envelope(), text("\n"+strings.Repeat("too much\n", 100_000))), queue.Temporary, "4.3.1", "no space")
	if got := read(t, dir+"/alice"); got != before {
		t.Errorf("mailbox changed: %d bytes, before %d", len(got), len(before))
	}
	want(t, m.Deliver(t.Context(), envelope(), text("\nfits\n")), queue.Delivered, "2.0.0", "")
}

func TestConcurrentDeliveries(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/alice", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Another program holds the fcntl lock at first, and two Mailboxes stand for
	// two processes that meet only in the file system.
	cmd := helper(t, "lock", dir+"/alice")
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, stdout, "locked")
	boxes := []*local.Mailboxes{newMailboxes(t, options(dir, os.Getuid())), newMailboxes(t, options(dir, os.Getuid()))}
	const n = 20
	var wg sync.WaitGroup
	outcomes := make([]local.Outcome, n)
	for i := range n {
		wg.Go(func() {
			body := fmt.Sprintf("Subject: %d\n\n%s", i, strings.Repeat(fmt.Sprintf("From %d\n", i), 5000))
			outcomes[i] = boxes[i%2].Deliver(t.Context(), envelope(), text(body))
		})
	}
	if got := read(t, dir+"/alice"); got != "" {
		t.Errorf("written in spite of the lock: %d bytes", len(got))
	}
	_ = stdin.Close()
	wg.Wait()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	for _, out := range outcomes {
		want(t, out, queue.Delivered, "2.0.0", "")
	}
	checkWhole(t, messages(t, dir+"/alice"), n)
	onlyMailbox(t, dir)
}

// checkWhole wants the messages 0 to n-1, each once and unmixed.
func checkWhole(t *testing.T, got []string, n int) {
	t.Helper()
	seen := make(map[string]bool)
	for _, msg := range got {
		seen[msg] = true
	}
	for i := range n {
		if !seen[fmt.Sprintf("%sSubject: %d\n\n%s\n", top, i, strings.Repeat(fmt.Sprintf(">From %d\n", i), 5000))] {
			t.Errorf("message %d is missing or damaged", i)
		}
	}
	if len(got) != n {
		t.Errorf("%d messages, want %d", len(got), n)
	}
}

func TestLockedMailboxWaits(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(dir+"/alice", nil, 0o600), os.WriteFile(dir+"/alice.lock", []byte("1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	o := options(dir, os.Getuid())
	o.LockTimeout = 50 * time.Millisecond
	m := newMailboxes(t, o)
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.2.0", "alice.lock")
	if got := read(t, dir+"/alice.lock"); got != "1\n" {
		t.Errorf("lock file became %q", got)
	}
	old := time.Now().Add(-6 * time.Minute)
	if err := os.Chtimes(dir+"/alice.lock", old, old); err != nil {
		t.Fatal(err)
	}
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Delivered, "2.0.0", "")
	onlyMailbox(t, dir)
}

func TestFcntlLockIsRespected(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/alice", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := helper(t, "lock", dir+"/alice")
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, stdout, "locked")
	o := options(dir, os.Getuid())
	o.LockTimeout = 50 * time.Millisecond
	want(t, newMailboxes(t, o).Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.2.0", "fcntl lock")
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if got := read(t, dir+"/alice"); got != "" {
		t.Errorf("mailbox has %q", got)
	}
	onlyMailbox(t, dir)
}

func TestDeliveriesTakeTurns(t *testing.T) {
	dir := t.TempDir()
	o := options(dir, os.Getuid())
	o.LockTimeout = 50 * time.Millisecond
	m := newMailboxes(t, o)
	holding, goOn := make(chan struct{}), make(chan struct{})
	opened := 0
	slow := func() (io.ReadCloser, error) {
		if opened++; opened == 2 {
			close(holding)
			<-goOn
		}
		return text("\nslow\n")()
	}
	first := make(chan local.Outcome)
	go func() { first <- m.Deliver(t.Context(), envelope(), slow) }()
	<-holding
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.2.0", "other deliveries have been under way")
	close(goOn)
	want(t, <-first, queue.Delivered, "2.0.0", "")
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Delivered, "2.0.0", "")
}

func TestKilledInMidAppend(t *testing.T) {
	dir := t.TempDir()
	m := newMailboxes(t, options(dir, os.Getuid()))
	want(t, m.Deliver(t.Context(), envelope(), text("Subject: whole\n\nx\n")), queue.Delivered, "2.0.0", "")
	cmd := helper(t, "stall", dir)
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, stdout, "stalled")
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := os.Stat(dir + "/alice.lock"); err != nil {
		t.Fatalf("no lock was left behind, so nothing is tested: %v", err)
	}
	// The lock names a process of this host that is no more: no need to wait.
	want(t, m.Deliver(t.Context(), envelope(), text("Subject: again\n\nx\n")), queue.Delivered, "2.0.0", "")
	got := messages(t, dir+"/alice")
	if len(got) != 3 || got[2] != top+"Subject: again\n\nx\n\n" || !strings.Contains(got[1], "torn") {
		t.Errorf("%d messages, last %.300q", len(got), got[len(got)-1])
	}
}
