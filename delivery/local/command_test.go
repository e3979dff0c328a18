package local_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/queue"
)

func TestCommandOutcomes(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	script := s.Home + "/script"
	s.put(t, script, "#!/bin/sh\nexit $1\n", 0o700)
	s.put(t, s.Home+"/naked", "exit $1\n", 0o700)
	s.put(t, s.Home+"/interpreted", "#!/no/such/interpreter\n", 0o700)
	s.put(t, s.Home+"/data", "x\n", 0o600)
	for line, tt := range map[string]struct {
		result        queue.Result
		status, words string
	}{
		"true":                             {queue.Delivered, "2.0.0", `delivered to command "true"`},
		"echo   hi":                        {queue.Delivered, "2.0.0", `delivered to command "echo hi": hi`},
		script + " 64":                     {queue.Failed, "5.3.0", "exit status 64: command line usage error"},
		script + " 65":                     {queue.Failed, "5.6.0", "exit status 65: data format error"},
		script + " 67":                     {queue.Failed, "5.1.1", `command "` + script + ` 67": exit status 67: user unknown`},
		script + " 69":                     {queue.Failed, "5.3.0", "exit status 69"},
		script + " 71":                     {queue.Temporary, "4.3.0", "exit status 71"},
		script + " 73":                     {queue.Failed, "5.2.0", "exit status 73"},
		script + " 75":                     {queue.Temporary, "4.3.0", "exit status 75"},
		script + " 77":                     {queue.Failed, "5.7.0", "exit status 77"},
		script + " 78":                     {queue.Failed, "5.3.5", "exit status 78"},
		script + " 1":                      {queue.Failed, "5.3.0", "exit status 1"},
		script + " 255":                    {queue.Failed, "5.3.0", "exit status 255"},
		"./script 67":                      {queue.Failed, "5.1.1", "exit status 67"}, // in the home directory
		"exit 75":                          {queue.Temporary, "4.3.0", "exit status 75"},
		"exit 67":                          {queue.Failed, "5.1.1", "exit status 67"},
		s.Home + "/naked 67":               {queue.Failed, "5.1.1", "exit status 67"},
		"no-such-command":                  {queue.Failed, "5.3.0", "exit status 127"},
		"/no/such/command":                 {queue.Failed, "5.3.0", "exit status 127: command not found"},
		s.Home + "/interpreted":            {queue.Failed, "5.3.0", "exit status 127"},
		s.Home + "/data":                   {queue.Failed, "5.3.0", "exit status 126: command cannot be executed"},
		s.Home:                             {queue.Failed, "5.3.0", "exit status 126"},
		s.Home + "/data; exit $?":          {queue.Failed, "5.3.0", "exit status 126"},
		"sh -c 'kill -9 $$'":               {queue.Temporary, "4.3.0", "killed by signal 9"},
		"sh -c 'kill -15 $$'; exit $?":     {queue.Temporary, "4.3.0", "killed by signal 15"},
		"echo 'unbalanced":                 {queue.Failed, "5.3.0", "exit status 2"},
		" \t":                              {queue.Failed, "5.3.5", "is not a command"},
		"echo \x00":                        {queue.Failed, "5.3.5", "is not a command"},
		`printf '\033[1mA\r\n\001B\377'`:   {queue.Delivered, "2.0.0", `: [1mA B?`},
		"echo out; echo err >&2; exit 65":  {queue.Failed, "5.6.0", "exit status 65: out err"},
		"yes | head -c 10000000; exit 67":  {queue.Failed, "5.1.1", "y y y"},
		"head -c 2048 /dev/zero; exit 1":   {queue.Failed, "5.3.0", "exit status 1"},
		"echo " + strings.Repeat("x", 999): {queue.Delivered, "2.0.0", strings.Repeat("x", 195) + `..."`},
	} {
		t.Run(line, func(t *testing.T) {
			out := s.run(t, line)
			want(t, out, tt.result, tt.status, tt.words)
			if len(out.Text) > 3000 {
				t.Errorf("%d bytes of text", len(out.Text))
			}
		})
	}
}

// TestCommandSurroundings: what a command finds itself in.
func TestCommandSurroundings(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	s.Shell = "/bin/zsh"
	env := func(a *act) {
		a.Envelope.To = address.Address{Local: "games+x y'$(touch z)", Domain: "example.com;id"}
		a.Envelope.Original = "rfc822;Games+X@example.com"
		a.Envelope.Target.Extension = "x y'$(touch z)"
	}
	_, said, _ := strings.Cut(s.run(t, "env", env).Text, ": ")
	got := strings.Fields(said)
	slices.Sort(got)
	wanted := []string{
		"DOMAIN=example.com_id", "EXTENSION=x_y___touch_z_", "HOME=" + s.Home, "LANG=C.UTF-8", "LOCAL=games+x_y___touch_z_", "LOGNAME=" + s.Name,
		"ORIGINAL_RECIPIENT=Games+X@example.com", "PATH=/usr/local/bin:/usr/bin:/bin", "RECIPIENT=_games+x_y___touch_z__@example.com_id",
		"SENDER=bob@example.net", "SHELL=/bin/zsh", "USER=" + s.Name,
	}
	if !slices.Equal(got, wanted) {
		t.Errorf("environment\n%s\nwant\n%s", got, wanted)
	}
	// What a shell makes of it.
	out := s.run(t, "echo $EXTENSION; eval echo $EXTENSION", env)
	want(t, out, queue.Delivered, "2.0.0", ": x_y___touch_z_ x_y___touch_z_")

	want(t, s.run(t, "pwd"), queue.Delivered, "2.0.0", `"pwd": `+s.Home)
	want(t, s.run(t, "pwd", func(a *act) { a.Envelope.Target.User = "" }), queue.Delivered, "2.0.0", `"pwd": /`)
	want(t, s.run(t, "id -u"), queue.Delivered, "2.0.0", ": "+strconv.Itoa(s.UID))
	// 3 is the directory. That process has inherited more.
	if out := s.run(t, "ls /proc/self/fd"); !strings.HasSuffix(out.Text, `": 0 1 2 3`) {
		t.Errorf("more is open: %s", out.Text)
	}
	stat := strings.Fields(s.run(t, "cat /proc/self/stat").Text)
	// "delivered to command "cat /proc/self/stat": 42 (cat) R 41 42 42 ...": pid, group, session.
	if at := slices.Index(stat, "(cat)"); at < 1 || stat[at-1] != stat[at+3] || stat[at-1] != stat[at+4] {
		t.Errorf("not in a session of its own: %v", stat)
	}
	want(t, s.run(t, "touch made"), queue.Delivered, "2.0.0", "")
	if fi, err := os.Stat(s.Home + "/made"); err != nil || fi.Mode() != 0o600 {
		t.Errorf("%v, %v", fi.Mode(), err)
	}
	if got := list(t, s.Home); got != "made" {
		t.Errorf("made %s", got)
	}
	s.Home = s.dir + "/nowhere"
	want(t, s.run(t, "pwd"), queue.Delivered, "2.0.0", `"pwd": /`)
	s.Home = "/root"
	if fi, err := os.Stat(s.Home); err == nil && fi.Mode()&0o001 == 0 {
		want(t, s.run(t, "pwd"), queue.Temporary, "4.3.0", "enter home directory")
	}
}

func TestCommandGetsTheMessage(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	got := s.Home + "/got"
	out := s.run(t, "dd of="+got+" status=none", func(a *act) {
		a.Message, a.Envelope.Original = "Return-Path: <x@y>\nSubject: x\n\nFrom here\nno end", "root"
	})
	want(t, out, queue.Delivered, "2.0.0", "")
	wanted := "From bob@example.net Wed Mar  4 12:00:00 2026\nReturn-Path: <bob@example.net>\nX-Original-To: root\nDelivered-To: alice@example.com\nSubject: x\n\nFrom here\nno end\n"
	if text := read(t, got); text != wanted {
		t.Errorf("%q", text)
	}
	large := func(a *act) { a.Size = 5 << 20 }
	want(t, s.run(t, "wc -l", large), queue.Delivered, "2.0.0", ": 349530")
	// What it does not care to read is its own business.
	want(t, s.run(t, "true", large), queue.Delivered, "2.0.0", "")
	want(t, s.run(t, "exit 67", large), queue.Failed, "5.1.1", "")
	want(t, s.run(t, "head -c 300000 | wc -c", large), queue.Delivered, "2.0.0", ": 300000")
	want(t, s.run(t, "exec <&-; sleep 0.1", large), queue.Delivered, "2.0.0", "")
	// A loop is none of the command's.
	want(t, s.run(t, "touch ran", func(a *act) { a.Message = "Delivered-To: alice@example.com\n\n" }), queue.Failed, "5.4.6", "loop")
	// An end that is not the message's must not be taken for it.
	out = s.run(t, "cat > part; touch complete", func(a *act) { a.Size, a.Broken = 1<<20, true })
	want(t, out, queue.Temporary, "4.3.0", "spool is unreadable")
	if made := list(t, s.Home); made != "got part" {
		t.Errorf("made %s", made)
	}
}

func TestHostileCommands(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	soon := func(a *act) { a.Timeout = 300 * time.Millisecond }
	s.put(t, s.Home+"/stubborn", "#!/bin/sh\ntrap '' TERM HUP INT\nsh -c \"trap '' TERM; while :; do sleep 600; done\" &\necho $! > child\necho $$ > parent\nwhile :; do sleep 600; done\n", 0o700)
	want(t, s.run(t, "./stubborn", soon), queue.Temporary, "4.3.0", "took longer than 300ms and was killed")
	for _, name := range []string{"parent", "child"} {
		pid := strings.TrimSpace(read(t, s.Home+"/"+name))
		until(t, name+" is gone", func() bool { return !runs(pid) })
	}
	want(t, s.run(t, "yes", soon), queue.Temporary, "4.3.0", "took longer")
	want(t, s.run(t, "cat > /dev/null; sleep 600", soon), queue.Temporary, "4.3.0", "took longer")
	want(t, s.run(t, "sleep 600", soon, func(a *act) { a.Size = 5 << 20 }), queue.Temporary, "4.3.0", "took longer")

	// What it leaves behind is left alone, and not waited for.
	for _, line := range []string{
		"sleep 600 & echo $!",
		"yes 2> /dev/null | cat > /dev/null & echo $!",
		"exec 3<&0; sh -c 'echo $$; exec sleep 600' <&3 & sleep 0.1", // and might have read
	} {
		begun := time.Now()
		out := s.run(t, line, func(a *act) { a.Size = 5 << 20 })
		want(t, out, queue.Delivered, "2.0.0", "delivered to command")
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s: waited %v", line, took)
		}
		pid, err := strconv.Atoi(out.Text[strings.LastIndex(out.Text, " ")+1:])
		if err != nil || !runs(strconv.Itoa(pid)) {
			t.Errorf("%s: %q, %v", line, out.Text, err)
			continue
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// runs tells whether a process is there and no zombie.
func runs(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// until polls, since the processes that end are not ours to wait for.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func TestCommandIsForItsOwner(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	command := func(user string) local.Envelope {
		return local.Envelope{To: envelope().To, Target: queue.Target{Kind: queue.TargetCommand, Value: "touch " + dir + "/ran", User: user}}
	}
	root := options(dir, 0)
	want(t, newMailboxes(t, root).Deliver(t.Context(), command("alice"), text("\nx\n")), queue.Failed, "5.7.1", "nothing is done as root")
	root.DefaultUser = "alice"
	want(t, newMailboxes(t, root).Deliver(t.Context(), command(""), text("\nx\n")), queue.Temporary, "4.3.5", "must not be root")
	root.Template = "pipe:/usr/bin/touch " + dir + "/ran"
	want(t, newMailboxes(t, root).Deliver(t.Context(), envelope(), text("\nx\n")), queue.Temporary, "4.3.5", "alias file")
	want(t, newMailboxes(t, options(dir, 4242)).Deliver(t.Context(), command("alice"), text("\nx\n")), queue.Temporary, "4.3.5", "only a process of user alice")
	if got := list(t, dir); got != "" {
		t.Errorf("made %s", got)
	}
}

func TestPipeMailbox(t *testing.T) {
	needRoot(t)
	s := newSomeone(t)
	script := s.dir + "/script"
	s.must(t, os.WriteFile(script, []byte("#!/bin/sh\nfor a; do printf '[%s]' \"$a\"; done\npwd\nwc -c\n"), 0o755))
	a := act{Template: "pipe:" + script + " -d {user} \"a {home} b\" {extension} '$(touch x)' @{domain}"}
	a.Message = "Subject: x\n\ny\n"
	a.Envelope.To = address.Address{Local: s.Name + "+-x;'y z'$(touch z)", Domain: "Example.com"}
	out, _ := s.do(t, a)
	want(t, out, queue.Delivered, "2.0.0", fmt.Sprintf(": [-d][%s][a %s b][_x__y_z___touch_z_][$(touch x)][@example.com]%s ", s.Name, s.Home, s.Home))
	if got := list(t, s.Home); got != "" {
		t.Errorf("made %s", got)
	}
	// A user's .forward comes first.
	a.Forward = forwardTemplate
	s.put(t, s.Home+"/.forward", "bob\n", 0o600)
	out, _ = s.do(t, a)
	want(t, out, queue.Expanded, "2.0.0", "forwarded")
	missing := act{Template: "pipe:" + filepath.Join(s.dir, "nowhere"), Message: "\nx\n"}
	out, _ = s.do(t, missing)
	want(t, out, queue.Temporary, "4.3.5", "exit status 127: command not found; local.mailbox names it")
	s.must(t, os.WriteFile(s.dir+"/nowhere", []byte("#!/bin/sh\n"), 0o644))
	out, _ = s.do(t, missing)
	want(t, out, queue.Temporary, "4.3.5", "exit status 126")
}
