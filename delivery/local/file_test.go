package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

func toFile(path string) local.Envelope {
	return local.Envelope{To: address.Address{Local: "list", Domain: "example.com"}, Target: queue.Target{Kind: queue.TargetFile, Value: path}}
}

const fileEntry = "From bob@example.net Wed Mar  4 12:00:00 2026\nReturn-Path: <bob@example.net>\nX-Original-To: list@example.com\nDelivered-To: list@example.com\nSubject: x\n\n>From y\n\n"

func TestFile(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	for n := 1; n <= 2; n++ {
		out, _ := s.do(t, act{Envelope: toFile(s.Home + "/sub/../archive"), Message: "Subject: x\n\nFrom y\n"})
		want(t, out, queue.Delivered, "2.0.0", "delivered to file "+s.Home+"/archive")
		if got := read(t, s.Home+"/archive"); got != strings.Repeat(fileEntry, n) {
			t.Errorf("%q", got)
		}
	}
	if got := list(t, s.Home); got != "archive" {
		t.Errorf("left behind: %s", got)
	}
	fi, err := os.Stat(s.Home + "/archive")
	if err != nil || fi.Mode() != 0o600 || int(fi.Sys().(*syscall.Stat_t).Uid) != s.UID {
		t.Errorf("%v, %v", fi, err)
	}
	// No lock file where the directory is another's.
	s.put(t, s.dir+"/shared", "", 0o600)
	s.must(t, os.Chown(s.dir+"/shared", 0, 0), os.Chmod(s.dir+"/shared", 0o666))
	out, _ := s.do(t, act{Envelope: toFile(s.dir + "/shared"), Message: "Subject: x\n\nFrom y\n"})
	want(t, out, queue.Delivered, "2.0.0", "")
	if got := read(t, s.dir+"/shared"); got != fileEntry {
		t.Errorf("%q", got)
	}
}

func TestRefusedFiles(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	at := func(name string) string { return filepath.Join(s.Home, name) }
	s.put(t, at("victim"), "x", 0o600)
	s.put(t, at("two"), "x", 0o600)
	s.put(t, at("program"), "x", 0o700)
	s.must(t, os.Symlink(at("victim"), at("link")), os.Symlink(at("new"), at("dangling")), os.Link(at("two"), at("names")), os.Mkdir(at("dir"), 0o777),
		os.WriteFile(at("root"), []byte("x"), 0o644), syscall.Mkfifo(at("fifo"), 0o666), syscall.Mknod(at("null"), syscall.S_IFCHR|0o666, 1<<8|3), os.Mkdir(s.dir+"/closed", 0o755))
	s.must(t, os.Chmod(at("fifo"), 0o666), os.Chmod(at("null"), 0o666))
	for path, tt := range map[string]struct {
		result        queue.Result
		status, words string
	}{
		at("link"):            {queue.Temporary, "4.2.0", "symbolic link"},
		at("dangling"):        {queue.Temporary, "4.2.0", "symbolic link"},
		at("two"):             {queue.Temporary, "4.2.0", "2 names"},
		at("program"):         {queue.Temporary, "4.2.0", "is a program"},
		at("dir"):             {queue.Temporary, "4.2.0", "not a regular file"},
		at("fifo"):            {queue.Temporary, "4.2.0", "not a regular file"},
		at("null"):            {queue.Temporary, "4.2.0", "not a regular file"},
		at("root"):            {queue.Temporary, "4.3.0", "permission denied; user " + s.Name + " must be able"},
		s.dir + "/closed/new": {queue.Temporary, "4.3.0", "permission denied"},
		at("nowhere/new"):     {queue.Temporary, "4.2.0", "directory does not exist"},
		"relative":            {queue.Failed, "5.3.5", "absolute"},
		at("dir") + "/":       {queue.Failed, "5.3.5", "path of a file"},
		at("nul\x00"):         {queue.Failed, "5.3.5", "path of a file"},
	} {
		out, _ := s.do(t, act{Envelope: toFile(path), Message: "\ny\n"})
		want(t, out, tt.result, tt.status, tt.words)
	}
	for _, name := range []string{"victim", "two", "program", "root"} {
		if got := read(t, at(name)); got != "x" {
			t.Errorf("%s: %q", name, got)
		}
	}
	if _, err := os.Stat(at("new")); err == nil {
		t.Error("made a file where a link led")
	}
}

func TestDiscard(t *testing.T) {
	// Nobody's rights are needed, and the message is not even looked at.
	o := options(t.TempDir(), 4242)
	o.DefaultUser = "alice"
	m := newMailboxes(t, o)
	want(t, m.Deliver(t.Context(), toFile("/dev/./null"), nil), queue.Delivered, "2.0.0", "discarded")
	if job, refused := m.Plan(toFile("/dev/null")); refused != nil || !m.Able(job) {
		t.Errorf("%+v, %+v", job, refused)
	}
}

func TestFileIsForItsOwner(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	o := options(dir, 4242)
	o.DefaultUser = "alice"
	want(t, newMailboxes(t, o).Deliver(t.Context(), toFile(dir+"/x"), text("\nx\n")), queue.Temporary, "4.3.5", "postrider-local.socket")
	root := options(dir, 0)
	root.DefaultUser = "alice"
	want(t, newMailboxes(t, root).Deliver(t.Context(), toFile(dir+"/x"), text("\nx\n")), queue.Temporary, "4.3.5", "must not be root")
	env := toFile(dir + "/x")
	env.Target.User = "alice"
	want(t, newMailboxes(t, root).Deliver(t.Context(), env, text("\nx\n")), queue.Failed, "5.7.1", "nothing is done as root")
	env.Target.User = "../alice"
	want(t, newMailboxes(t, root).Deliver(t.Context(), env, text("\nx\n")), queue.Failed, "5.1.1", "unknown local user")
	want(t, newMailboxes(t, options(dir, 0)).Deliver(t.Context(), toFile(dir+"/x"), text("\nx\n")), queue.Temporary, "4.3.5", `there is no user "nobody"`)
	if got := list(t, dir); got != "" {
		t.Errorf("made %s", got)
	}
}

// TestLargeFileIsNotRead counts what the kernel saw being read, in a process of
// its own.
func TestLargeFileIsNotRead(t *testing.T) {
	const size = 1 << 30
	s := newSomeone(t)
	path := s.Home + "/huge"
	s.put(t, path, "", 0o600)
	s.must(t, os.Truncate(path, size))
	a := act{Envelope: toFile(path), Message: "Subject: x\n\nFrom y\n", CountReads: true}
	out, log := s.do(t, a)
	want(t, out, queue.Delivered, "2.0.0", "")
	var read int64
	if _, err := fmt.Sscanf(log[strings.Index(log, "read "):], "read %d", &read); err != nil || read > 1<<20 {
		t.Errorf("%d bytes were read (%v): %s", read, err, log)
	}
	f, err := os.Open(path)
	s.must(t, err)
	defer f.Close()
	tail := make([]byte, len(fileEntry)+3)
	if n, err := f.ReadAt(tail, size-1); string(tail[:n]) != "\x00\n\n"+fileEntry {
		t.Errorf("%q, %v", tail[:n], err)
	}
	if st, err := f.Stat(); err != nil || st.Sys().(*syscall.Stat_t).Blocks > 1000 {
		t.Errorf("not sparse any more: %+v, %v", st, err)
	}
}
