package aliases_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/queue"
)

// host is a host with some users, whose domains are example.org and localhost.
type host struct {
	*aliases.Expander
	dir string
}

// newHost writes the alias file; {TMP} in it is the host's directory.
func newHost(t testing.TB, text string) *host {
	t.Helper()
	h := &host{dir: t.TempDir()}
	h.write(t, "aliases", text)
	h.Expander = &aliases.Expander{
		Table:     aliases.NewFiles([]string{h.path("aliases")}).Table,
		IsLocal:   isLocal,
		Origin:    "example.org",
		Delimiter: "+",
		LookupUser: func(name string) (*aliases.User, error) {
			uid, ok := users()[name]
			switch {
			case name == "broken":
				return nil, errors.New("user database does not answer")
			case !ok:
				return nil, nil
			}
			return &aliases.User{Name: name, UID: uid, Home: "/home/" + name}, nil
		},
		Include: func(_ context.Context, _, path string) (string, *aliases.Refusal) { return aliases.ReadInclude(path) },
	}
	return h
}

func isLocal(a address.Address) bool {
	return strings.EqualFold(a.Domain, "example.org") || strings.EqualFold(a.Domain, "localhost")
}

func users() map[string]int {
	return map[string]int{"root": 0, "daemon": 1, "news": 9, "alice": 1001, "bob": 1002, "carol": 1003, "selfa": 1004}
}

func (h *host) path(name string) string { return filepath.Join(h.dir, name) }

func (h *host) write(t testing.TB, name, text string) {
	t.Helper()
	text = strings.ReplaceAll(text, "{TMP}", h.dir)
	if err := os.WriteFile(h.path(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func parse(t testing.TB, s string) address.Address {
	t.Helper()
	a, err := address.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return a.Qualify("example.org")
}

// expand gives the leaves as tell writes them.
func (h *host) expand(t testing.TB, to string) []string {
	t.Helper()
	return h.tell(h.Expand(t.Context(), parse(t, to)))
}

// forward does so for a .forward of alice.
func (h *host) forward(t testing.TB, to, text string, via ...string) []string {
	t.Helper()
	var before []address.Address
	for _, v := range via {
		before = append(before, parse(t, v))
	}
	text = strings.ReplaceAll(text, "{TMP}", h.dir)
	return h.tell(h.Forward(t.Context(), "alice", parse(t, to), before, text))
}

// tell writes one leaf a line, with what is usual left out.
func (h *host) tell(x aliases.Expansion) []string {
	if x.Refused != nil {
		return []string{refusal(x.Refused)}
	}
	var lines []string
	for _, l := range x.Leaves {
		lines = append(lines, strings.ReplaceAll(leaf(l), h.dir, "{TMP}"))
	}
	return lines
}

func leaf(l aliases.Leaf) string {
	if l.Refused != nil {
		return fmt.Sprintf("%s %s", l.Address, refusal(l.Refused))
	}
	kind := map[queue.TargetKind]string{
		queue.TargetAddress: "address", queue.TargetUser: "user", queue.TargetMailbox: "mailbox",
		queue.TargetFile: "file", queue.TargetCommand: "command",
	}[l.Target.Kind]
	text := fmt.Sprintf("%s %s", kind, l.Address)
	if l.Target.Value != "" {
		text += " " + l.Target.Value
	}
	if l.Target.Extension != "" {
		text += " ext " + l.Target.Extension
	}
	if l.Target.User != "" {
		text += " as " + l.Target.User
	}
	if l.ReversePath != nil {
		text += " from " + l.ReversePath.String()
	}
	return text
}

func refusal(r *aliases.Refusal) string {
	if r.Temporary {
		return "deferred " + r.Status
	}
	return "refused " + r.Status
}

func equal(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}
