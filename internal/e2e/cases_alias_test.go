package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"postrider/internal/smtptest"
)

// pipeScript is {TMP}/pipe: each run leaves its arguments in a file of its user's.
const pipeScript = `#!/bin/sh
out=$(mktemp "${0%/*}/ran.XXXXXX") || exit 1
for arg; do printf '%s\n' "$arg"; done > "$out"
cat > /dev/null
`

// delivered runs a case and checks where copies come to in the end.
func (*stage) delivered(s *stage, c *cliCase) {
	s.clear()
	s.put("etc/aliases", s.expand(c.Setup.Aliases), 0, 0o644)
	s.put("tmp/pipe", pipeScript, 0, 0o755)
	for path, text := range c.Setup.Files {
		s.put("tmp/"+strings.TrimPrefix(path, "{TMP}/"), s.expand(text), 0, 0o644)
	}
	for user, text := range c.Setup.Forward {
		s.put("home/"+user+"/.forward", s.expand(text), uidOf(user), 0o644)
	}
	before := s.relay.Count()
	c.checkResult(s, s.call(c))
	s.settled()
	deferred := len(s.queue())
	got := s.arrived(s.relay.Messages()[before:])
	bounces := got["bounce"]
	delete(got, "bounce")
	if want := c.wanted(s); !maps.Equal(got, want) {
		s.t.Errorf("delivered to %v, want %v", got, want)
	}
	if bounces != c.Expect.Bounces || deferred != c.Expect.Deferred {
		s.t.Errorf("%d bounces and %d messages deferred, want %d and %d", bounces, deferred, c.Expect.Bounces, c.Expect.Deferred)
	}
	if s.t.Failed() {
		for _, i := range s.queue() {
			s.t.Logf("in the queue: %+v", i)
		}
	}
	s.forget(c, s.queue()...)
}

func uidOf(user string) int {
	return accounts[map[string]string{"alice": "user", "bob": "user2", "carol": "user3"}[user]]
}

// put writes a file for a user.
func (s *stage) put(name, text string, uid int, mode os.FileMode) {
	s.t.Helper()
	path := s.path(name)
	err := os.WriteFile(path, []byte(text), mode)
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err == nil {
		err = os.Chown(path, uid, uid)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// clear removes what the last case left.
func (s *stage) clear() {
	s.t.Helper()
	for _, pattern := range []string{"mail/*", "tmp/*", "home/*/.forward"} {
		files, err := filepath.Glob(s.path(pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range files {
			if err := os.Remove(f); err != nil {
				s.t.Fatal(err)
			}
		}
	}
}

// settled waits until all that is left was tried and waits for another time.
func (s *stage) settled() {
	s.t.Helper()
	until(s.t, "all is tried", func() bool {
		return !slices.ContainsFunc(s.queue(), func(i item) bool {
			return i.State != "deferred" || slices.ContainsFunc(i.Recipients, func(r itemRecipient) bool { return r.State == "queued" || r.State == "active" })
		})
	})
}

// arrived counts what came where. Keys are as wanted writes them.
func (s *stage) arrived(relayed []smtptest.Message) map[string]int {
	s.t.Helper()
	got := map[string]int{}
	for kind, pattern := range map[string]string{"mailbox": "mail/*", "file": "tmp/afile"} {
		files, err := filepath.Glob(s.path(pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		for _, f := range files {
			name := f
			if kind == "mailbox" {
				name = filepath.Base(f)
			}
			got[kind+" "+name] += strings.Count("\n"+string(readFile(s.t, f)), "\nFrom ")
		}
	}
	runs, err := filepath.Glob(s.path("tmp/ran.*"))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, f := range runs {
		info, err := os.Stat(f)
		if err != nil {
			s.t.Fatal(err)
		}
		got[pipeKey(strings.Split(strings.TrimSuffix(string(readFile(s.t, f)), "\n"), "\n"), int(info.Sys().(*syscall.Stat_t).Uid))]++
	}
	for _, m := range relayed {
		for _, to := range m.To {
			if m.From == "" && to.Address == "sender@example.com" {
				got["bounce"]++
				continue
			}
			got["remote "+to.Address+" from "+m.From]++
		}
	}
	return got
}

func pipeKey(args []string, uid int) string { return fmt.Sprintf("pipe %q as uid %d", args, uid) }

// wanted counts what must come where.
func (c *cliCase) wanted(s *stage) map[string]int {
	const nobody = 65534
	want := map[string]int{}
	for _, d := range c.Expect.Deliveries {
		switch {
		case d.Mailbox != "":
			want["mailbox "+d.Mailbox] += d.Count
		case d.File != "":
			want["file "+s.expand(d.File)] += d.Count
		case d.Pipe != nil && d.User != "":
			want[pipeKey(d.Pipe, uidOf(d.User))] += d.Count
		case d.Pipe != nil:
			want[pipeKey(d.Pipe, nobody)] += d.Count
		default:
			want["remote "+d.Remote+" from "+d.Sender] += d.Count
		}
	}
	return want
}
