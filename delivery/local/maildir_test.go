package local_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

func maildirOptions(dir string) local.Options {
	o := options(dir, os.Getuid())
	o.Template = "maildir:" + dir + "/{user}/"
	o.Hostname = "a/b:c"
	return o
}

// stored reads the only message in new.
func stored(t *testing.T, maildir string) string {
	t.Helper()
	names, _ := filepath.Glob(maildir + "/new/*")
	if len(names) != 1 {
		t.Fatalf("%s", list(t, maildir))
	}
	return read(t, names[0])
}

func TestMaildir(t *testing.T) {
	dir := t.TempDir()
	m := newMailboxes(t, maildirOptions(dir))
	env := envelope()
	env.Via = []address.Address{{Local: "staff", Domain: "example.com"}, {Local: "x", Domain: "example.com"}}
	message := "Return-Path: <x@y>\nSubject: hi\nContent-Length: 3\n\nFrom here\n>From there\nno end"
	want(t, m.Deliver(t.Context(), env, text(message)), queue.Delivered, "2.0.0", "delivered to maildir "+dir+"/alice")
	wanted := "Return-Path: <bob@example.net>\nX-Original-To: staff@example.com\nDelivered-To: alice@example.com\nSubject: hi\n\nFrom here\n>From there\nno end\n"
	if got := stored(t, dir+"/alice"); got != wanted {
		t.Errorf("%q", got)
	}
	// time.MmicrosecondPpidQnumber.host
	form := regexp.MustCompile(fmt.Sprintf(`^cur new new/%d\.M0P%dQ1\.a\\057b\\072c tmp$`, noon.Unix(), os.Getpid()))
	if got := list(t, dir+"/alice"); !form.MatchString(got) {
		t.Errorf("%s", got)
	}
	for path, mode := range map[string]os.FileMode{"": 0o700, "/tmp": 0o700, "/new": 0o700, "/cur": 0o700} {
		if fi, err := os.Stat(dir + "/alice" + path); err != nil || fi.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", path, fi.Mode(), err)
		}
	}
}

func TestMaildirConcurrently(t *testing.T) {
	dir := t.TempDir()
	m := newMailboxes(t, maildirOptions(dir))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if out := m.Deliver(t.Context(), envelope(), text("\nx\n")); out.Result != queue.Delivered {
				t.Errorf("%+v", out)
			}
		})
	}
	wg.Wait()
	if names, _ := filepath.Glob(dir + "/alice/new/*"); len(names) != 20 {
		t.Errorf("%d messages", len(names))
	}
}

func TestMaildirTrouble(t *testing.T) {
	broken := func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("\n"+strings.Repeat("x\n", 100_000)), brokenReader{})), nil
	}
	dir := t.TempDir()
	m := newMailboxes(t, maildirOptions(dir))
	want(t, m.Deliver(t.Context(), envelope(), broken), queue.Temporary, "4.3.0", "spool is unreadable")
	if got := list(t, dir+"/alice"); got != "cur new tmp" {
		t.Errorf("left behind: %s", got)
	}

	missing := maildirOptions(dir + "/nowhere")
	status, words := "4.3.0", "no such file" // root looks for who may rearrange it first
	if os.Getuid() != 0 {
		status, words = "4.3.5", "does not exist"
	}
	want(t, newMailboxes(t, missing).Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, status, words)

	if err := os.WriteFile(dir+"/plain", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file := maildirOptions(dir)
	file.Template = "maildir:" + dir + "/plain/{user}"
	want(t, newMailboxes(t, file).Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.3.0", "not a directory")
}

func TestMaildirFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k,mode=755"); err != nil {
		t.Skip("cannot mount a tmpfs: ", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	m := newMailboxes(t, maildirOptions(dir))
	want(t, m.Deliver(t.Context(), envelope(), text("\n"+strings.Repeat("too much\n", 100_000))), queue.Temporary, "4.3.1", "no space")
	if got := list(t, dir+"/alice"); got != "cur new tmp" {
		t.Errorf("left behind: %s", got)
	}
	want(t, m.Deliver(t.Context(), envelope(), text("\nfits\n")), queue.Delivered, "2.0.0", "")
}

// TestMaildirLeadsNowhereElse: what is within a Maildir is the user's, and may be
// made to point to where the user cannot write but the process can.
func TestMaildirLeadsNowhereElse(t *testing.T) {
	for _, sub := range []string{"tmp", "new"} {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/alice", 0o700), os.Mkdir(dir+"/victim", 0o700), os.Symlink("../victim", dir+"/alice/"+sub)); err != nil {
			t.Fatal(err)
		}
		out := newMailboxes(t, maildirOptions(dir)).Deliver(t.Context(), envelope(), text("\nx\n"))
		want(t, out, queue.Temporary, "4.3.0", "escapes")
		if got := list(t, dir+"/victim"); got != "" {
			t.Errorf("%s: written to %s", sub, got)
		}
	}
}

func TestMaildirIsForItsOwner(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	a := act{Template: "maildir:{home}/Maildir", Message: "Subject: x\n\ny\n"}
	out, _ := s.do(t, a)
	want(t, out, queue.Delivered, "2.0.0", s.Home+"/Maildir")
	if got := stored(t, s.Home+"/Maildir"); !strings.HasPrefix(got, "Return-Path: <bob@example.net>\nX-Original-To: alice@example.com\nDelivered-To: alice@example.com\nSubject: x\n") {
		t.Errorf("%q", got)
	}
	m := newMailboxes(t, local.Options{Template: a.Template, Lookup: func(string) (*local.User, error) { return &s.User, nil }})
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.3.5", "postrider-local.socket")
	if job, refused := m.Plan(envelope()); refused != nil || m.Able(job) {
		t.Errorf("%+v, %+v", job, refused)
	}
}
