package aliases

import (
	"context"
	"slices"
	"strings"
	"testing"
	"unicode"

	"postrider/internal/address"
)

// FuzzAliases reads any text as an alias file, without the disk.
func FuzzAliases(f *testing.F) {
	f.Add("x: bob")
	f.Fuzz(func(t *testing.T, text string) {
		entries := parseTable("aliases", text, func(p Problem) {
			if p.Line < 1 || p.Line > 1+strings.Count(text, "\n") || p.Text == "" || strings.ContainsFunc(p.Text, unicode.IsControl) {
				t.Fatalf("problem %+v", p)
			}
		})
		for key, e := range entries {
			if key == "" || len(e.items) == 0 {
				t.Fatalf("entry %q: %+v", key, e)
			}
			for _, it := range e.items {
				readsAgain(t, it)
			}
		}
		expandAny(t, &Table{entries: entries}, "")
	})
}

// readsAgain holds for every item, at the start of a line and after a comma.
func readsAgain(t *testing.T, it Item) {
	t.Helper()
	if it.Kind == ItemBad {
		if it.Problem == "" || strings.ContainsAny(it.Value, "\x00\r\n") {
			t.Fatalf("bad item %+v", it)
		}
		return
	}
	it.Line = 1
	for _, got := range [][]Item{parseLines(it.String()), parseLines("x, " + it.String())[1:], parseLines(it.String() + ",x")[:1]} {
		if len(got) != 1 || got[0] != it {
			t.Fatalf("%+v writes %q, which reads as %+v", it, it, got)
		}
	}
}

// FuzzForward expands any text as a .forward, next to aliases that go in circles.
func FuzzForward(f *testing.F) {
	f.Add("\\alice, bob\n")
	f.Fuzz(func(t *testing.T, text string) {
		const circular = "list: alice, bob, list\na: b\nb: a, bob+x, |cmd\nowner-list: owner-list\nbob+x: \\bob, /file\npostmaster: root\nroot: postmaster\ninc: :include:/x\n"
		expandAny(t, &Table{entries: parseTable("aliases", circular, func(Problem) {})}, text)
	})
}

// expandAny expands a .forward and every alias.
func expandAny(t *testing.T, table *Table, text string) {
	t.Helper()
	e := &Expander{
		Table:     func() (*Table, error) { return table, nil },
		IsLocal:   func(a address.Address) bool { return strings.EqualFold(a.Domain, "example.org") },
		Origin:    "example.org",
		Delimiter: "+",
		LookupUser: func(name string) (*User, error) {
			if slices.Contains([]string{"alice", "bob", "root"}, name) {
				return &User{Name: name, UID: len(name) * 250}, nil
			}
			return nil, nil
		},
		SystemUsers: "bob",
		Include:     func(context.Context, string, string) (string, *Refusal) { return text, nil },
	}
	to := address.Address{Local: "alice+x", Domain: "example.org"}
	ends(t, e.Forward(t.Context(), "alice", to, []address.Address{{Local: "list", Domain: "example.org"}}, text))
	for key := range table.entries {
		ends(t, e.Expand(t.Context(), address.Address{Local: key}))
	}
}

// ends holds for every expansion.
func ends(t *testing.T, x Expansion) {
	t.Helper()
	if (x.Refused == nil) == (len(x.Leaves) == 0) || len(x.Leaves) > maxLeaves {
		t.Fatalf("%d leaves, refused %+v", len(x.Leaves), x.Refused)
	}
	for _, l := range x.Leaves {
		if l.Address.Domain == "" || len(l.Via) > maxDepth+2 {
			t.Fatalf("leaf %+v", l)
		}
		if l.Refused != nil && (l.Refused.Status == "" || l.Refused.Text == "") {
			t.Fatalf("leaf %+v refused %+v", l, l.Refused)
		}
	}
	for _, s := range x.Steps {
		if strings.ContainsAny(s, "\x00\r\n") {
			t.Fatalf("step %q", s)
		}
	}
}
