package local_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

const forwardTemplate = "{home}/.forward"

func TestForwardFiles(t *testing.T) {
	needRoot(t)
	tests := []struct {
		name   string
		make   func(t *testing.T, s *someone, path string)
		result queue.Result // of looking for it
		words  string       // of the log, or of the outcome if that is temporary
	}{
		{"none", func(*testing.T, *someone, string) {}, queue.Pending, ""},
		{"good", func(t *testing.T, s *someone, p string) { s.put(t, p, "# me\nbob, \"|cat\"\n", 0o644) }, queue.Expanded, ""},
		{"root's", func(t *testing.T, s *someone, p string) {
			s.must(t, os.WriteFile(p, []byte("# me\nbob, \"|cat\"\n"), 0o644))
		}, queue.Expanded, ""},
		{"largest", func(t *testing.T, s *someone, p string) {
			s.put(t, p, "# me\nbob, \"|cat\"\n"+strings.Repeat(" ", 64<<10-17), 0o644)
		}, queue.Expanded, ""},
		{"empty", func(t *testing.T, s *someone, p string) { s.put(t, p, "", 0o644) }, queue.Pending, ""},
		{"comments", func(t *testing.T, s *someone, p string) { s.put(t, p, "\n# bob\n \t# bob\n\r\n", 0o644) }, queue.Pending, ""},
		{"symlink", func(t *testing.T, s *someone, p string) {
			s.put(t, s.Home+"/real", "bob\n", 0o644)
			s.must(t, os.Symlink(s.Home+"/real", p))
		}, queue.Pending, "symbolic link"},
		{"hard link", func(t *testing.T, s *someone, p string) {
			s.put(t, p, "bob\n", 0o644)
			s.must(t, os.Link(p, s.Home+"/other"))
		}, queue.Pending, "2 names"},
		{"another's", func(t *testing.T, s *someone, p string) {
			s.put(t, p, "bob\n", 0o644)
			s.must(t, os.Chown(p, 4242, -1))
		}, queue.Pending, "belongs to uid 4242"},
		{"group-writable", func(t *testing.T, s *someone, p string) { s.put(t, p, "bob\n", 0o664) }, queue.Pending, "chmod go-w"},
		{"world-writable", func(t *testing.T, s *someone, p string) { s.put(t, p, "bob\n", 0o666) }, queue.Pending, "chmod go-w"},
		{"fifo", func(t *testing.T, s *someone, p string) {
			s.must(t, syscall.Mkfifo(p, 0o600), os.Chown(p, s.UID, s.GID))
		}, queue.Pending, "not a regular file"},
		{"socket", func(t *testing.T, s *someone, p string) {
			s.must(t, syscall.Mknod(p, syscall.S_IFSOCK|0o600, 0), os.Chown(p, s.UID, s.GID))
		}, queue.Pending, "not a regular file"},
		{"directory", func(t *testing.T, s *someone, p string) {
			s.must(t, os.Mkdir(p, 0o700), os.Chown(p, s.UID, s.GID))
		}, queue.Pending, "not a regular file"},
		{"huge", func(t *testing.T, s *someone, p string) { s.put(t, p, strings.Repeat("bob\n", 16<<10+1), 0o644) }, queue.Pending, "too large"},
		{"unreadable", func(t *testing.T, s *someone, p string) { s.put(t, p, "bob\n", 0) }, queue.Temporary, "permission denied"},
		{"home closed", func(t *testing.T, s *someone, _ string) {
			s.must(t, os.Chown(s.Home, 0, 0), os.Chmod(s.Home, 0o700))
		}, queue.Temporary, "permission denied"},
		{"home looping", func(t *testing.T, s *someone, _ string) {
			s.must(t, os.Remove(s.Home), os.Symlink(s.Home, s.Home))
		}, queue.Temporary, "too many levels"},
		{"home gone", func(t *testing.T, s *someone, _ string) { s.must(t, os.Remove(s.Home)) }, queue.Pending, ""},
		{"home no directory", func(t *testing.T, s *someone, _ string) {
			s.must(t, os.Remove(s.Home), os.WriteFile(s.Home, nil, 0o644))
		}, queue.Pending, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSomeone(t)
			tt.make(t, s, s.Home+"/.forward")
			looked, log := s.do(t, act{Forward: forwardTemplate, JustForward: true})
			if looked.Result != tt.result || !strings.Contains(log+looked.Text, tt.words) || tt.words == "" && log != "" {
				t.Errorf("%+v\n%s", looked, log)
			}
			out, log := s.do(t, act{Forward: forwardTemplate, Message: "\nx\n"})
			wantResult := tt.result
			if wantResult == queue.Pending {
				wantResult = queue.Delivered
			}
			if out.Result != wantResult || !strings.Contains(log+out.Text, tt.words) {
				t.Errorf("%+v\n%s", out, log)
			}
			if out.Result == queue.Expanded && (!strings.HasPrefix(out.Forward, "# me\nbob, \"|cat\"\n") || looked.Forward != out.Forward) {
				t.Errorf("text %q, %q", out.Forward, looked.Forward)
			}
			_, err := os.Stat(s.dir + "/mail/" + s.Name)
			if (err == nil) != (out.Result == queue.Delivered) {
				t.Errorf("%v, but mailbox: %v", out.Result, err)
			}
		})
	}
}

func TestForwardIsNotForAll(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	s.put(t, s.Home+"/.forward", "bob\n", 0o644)
	mine := local.Envelope{Target: queue.Target{Kind: queue.TargetMailbox, Value: s.Name}}
	out, _ := s.do(t, act{Forward: forwardTemplate, Message: "\nx\n", Envelope: mine})
	want(t, out, queue.Delivered, "2.0.0", "delivered to")
	out, _ = s.do(t, act{Message: "\nx\n"})
	want(t, out, queue.Delivered, "2.0.0", "delivered to")
	out, _ = s.do(t, act{Forward: "off", Message: "\nx\n"})
	want(t, out, queue.Delivered, "2.0.0", "delivered to")
	// A message that has been here does not go around once more.
	out, _ = s.do(t, act{Forward: forwardTemplate, Message: "Delivered-To: alice@example.com\n\nx\n"})
	want(t, out, queue.Failed, "5.4.6", "loop")
	// Others, root among them, are not to read it.
	m := newMailboxes(t, local.Options{Template: "mbox:" + s.dir + "/{user}", Forward: forwardTemplate,
		Lookup: func(string) (*local.User, error) { return &s.User, nil }})
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.3.5", "postrider-local.socket")
	want(t, m.Forward(t.Context(), s.Name), queue.Temporary, "4.3.5", "only a process of user")
	if job, refused := m.Plan(envelope()); refused != nil || m.Able(job) {
		t.Errorf("able to deliver past a .forward: %+v, %+v", job, refused)
	}
	s.must(t, os.Remove(s.Home+"/.forward"))
	want(t, m.Deliver(t.Context(), envelope(), text("\nx\n")), queue.Delivered, "2.0.0", "")
	if out := m.Forward(t.Context(), s.Name); out != (local.Outcome{}) {
		t.Errorf("%+v", out)
	}
}

func TestRootHasNoForward(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/.forward", []byte("bob\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	m := newMailboxes(t, local.Options{Template: "mbox:" + dir + "/{user}", Forward: forwardTemplate,
		Lookup: func(name string) (*local.User, error) { return &local.User{Name: name, Home: dir}, nil }})
	if out := m.Forward(t.Context(), "root"); out != (local.Outcome{}) {
		t.Errorf("%+v", out)
	}
	job, refused := m.Plan(local.Envelope{To: address.Address{Local: "root"}})
	if refused != nil || os.Getuid() == 0 && !m.Able(job) {
		t.Errorf("%+v, %+v", job, refused)
	}
	nobody := newMailboxes(t, local.Options{Template: "off", Lookup: func(string) (*local.User, error) { return nil, nil }})
	if out := nobody.Forward(t.Context(), "nobody"); out != (local.Outcome{}) {
		t.Errorf("%+v", out)
	}
}

func TestInclude(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	s.put(t, s.Home+"/list", "bob\n# x\n\xff\n", 0o644)
	s.put(t, s.Home+"/large", strings.Repeat("x", 1<<20+1), 0o644)
	s.must(t, os.Symlink(s.Home+"/list", s.Home+"/link"), os.WriteFile(s.dir+"/secret", []byte("root:x"), 0o600),
		os.Symlink(s.dir+"/secret", s.Home+"/steal"), syscall.Mkfifo(s.Home+"/fifo", 0o666))
	for path, tt := range map[string]struct {
		result        queue.Result
		status, words string
	}{
		s.Home + "/list":    {queue.Expanded, "2.0.0", "read"},
		s.Home + "/link":    {queue.Expanded, "2.0.0", "read"},
		s.Home + "/missing": {queue.Failed, "5.2.4", "does not exist"},
		"list":              {queue.Failed, "5.2.4", "absolute"},
		s.Home + "/large":   {queue.Temporary, "4.2.4", "too large"},
		s.dir + "/secret":   {queue.Temporary, "4.2.4", "permission denied"},
		s.Home + "/steal":   {queue.Temporary, "4.2.4", "permission denied"},
		s.Home + "/fifo":    {queue.Temporary, "4.2.4", "not a regular file"},
		s.Home:              {queue.Temporary, "4.2.4", "not a regular file"},
	} {
		out, _ := s.do(t, act{Include: path})
		want(t, out, tt.result, tt.status, tt.words)
		if out.Result == queue.Expanded && out.Forward != "bob\n# x\n\ufffd\n" { // JSON between us
			t.Errorf("%q", out.Forward)
		}
	}
	m := newMailboxes(t, options(s.dir, 0))
	want(t, m.Include(t.Context(), "alice", s.Home+"/list"), queue.Failed, "5.7.1", "nothing is done as root")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}
