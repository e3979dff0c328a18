package sendmail_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestExitStatus: what a message ends with does not depend on the way it takes.
func TestExitStatus(t *testing.T) {
	hops := strings.Repeat("Received: by a; Mon, 01 Jan 2024 00:00:00 +0000\n", 51)
	for name, tc := range map[string]struct {
		extra  string
		stdin  string
		status int
		stderr string
		queued int
	}{
		"queued":       {"", letter, 0, "", 1},
		"denied":       {"[submission]\ndeny_users = [\"alice\"]\n", letter, 77, "user alice may not submit mail", 0},
		"too large":    {"[submission]\nmax_message_size = \"500\"\n", letter + strings.Repeat("x\n", 200_000), 69, "message too big: the limit is 500 bytes", 0},
		"mail loop":    {"", hops + letter, 0, "", 1},
		"wrong sender": {"[[submission.sender_rules]]\nusers = [\"alice\"]\nallow = [\"bob@example.org\"]\n", letter, 77, "alice@example.org", 0},
		"wrong From":   {"[[submission.sender_rules]]\nusers = [\"alice\"]\nallow = [\"alice@example.org\"]\n", "From: ceo@example.org\n\nx\n", 77, "ceo@example.org", 0},
		"right From":   {"[[submission.sender_rules]]\nusers = [\"alice\"]\nallow = [\"alice@example.org\"]\n", "From: alice\n\nx\n", 0, "", 1},
		"forced From":  {"[[submission.sender_rules]]\nusers = [\"alice\"]\nallow = [\"alice@example.org\"]\nfrom = \"shop@example.org\"\n", "From: ceo@example.org\n\nx\n", 0, "", 1},
	} {
		for _, wayName := range []string{"spool", "maildrop"} { // without the daemon's word
			t.Run(name+"/"+wayName, func(t *testing.T) {
				h := newHost(t, tc.extra)
				collect := ways[wayName].prepare(t, h)
				if wayName == "spool" {
					must(t, os.Chown(h.spool, aliceUID(), -1))
				} else if os.Getuid() != 0 {
					t.Skip("the spool is ours")
				}
				rest := &tail{Reader: strings.NewReader(tc.stdin)}
				env := h.env("-i", "bob@example.net")
				env.Stdin = rest
				run(env).want(t, tc.status, tc.stderr)
				if !rest.ended {
					t.Error("standard input was not read to its end")
				}
				if n := len(collect()); n != tc.queued {
					t.Errorf("%d messages queued, want %d", n, tc.queued)
				}
			})
		}
	}
}

// tail notes whether all was read.
type tail struct {
	io.Reader
	ended bool
}

func (r *tail) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.ended = r.ended || err == io.EOF
	return n, err
}

// TestUnreadableConfiguration is one of those that must not pass for another's.
func TestUnreadableConfiguration(t *testing.T) {
	h := newHost(t, "")
	must(t, os.Remove(h.config))
	must(t, os.Mkdir(h.config, 0o755))
	for _, args := range [][]string{{"bob"}, {"-bs"}, {"-bv", "bob"}} {
		h.send(letter, args...).want(t, 78, h.config)
	}
	env := h.env("-C", filepath.Join(h.dir, "absent"), "bob")
	env.UID, env.EUID = 0, 0
	run(env).want(t, 78, "absent")
}
