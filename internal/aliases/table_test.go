package aliases_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postrider/internal/aliases"
)

// right gives the right side of the alias x of a file.
func right(t *testing.T, text string) []string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "aliases")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := aliases.NewFiles([]string{path}).Table()
	if err != nil {
		t.Fatal(err)
	}
	items, ok := table.Lookup("x")
	if !ok {
		return []string{"no entry"}
	}
	var got []string
	for _, it := range items {
		kind := [...]string{"address", "mailbox", "file", "command", "include", "bad"}[it.Kind]
		value := it.Value
		if it.Kind == aliases.ItemAddress || it.Kind == aliases.ItemMailbox {
			value = it.Address.String()
		}
		got = append(got, kind+" "+value)
	}
	return got
}

func TestRightSide(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"x: john.doe", []string{"address john.doe"}},
		{"x:john.doe,user@host", []string{"address john.doe", "address user@host"}},
		{"x : bob", []string{"address bob"}},
		{`x: "john doe"@host, "j, d"`, []string{`address "john doe"@host`, `address "j, d"`}},
		{"x: Bob (the, boss) <bob@host>, <carol>", []string{"address bob@host", "address carol"}},
		{"x: alice bob \\carol dan", []string{"address alice", "address bob", "mailbox carol", "address dan"}},
		{"x: , alice,, bob,", []string{"address alice", "address bob"}},
		{"x: \\root, \\\"a b\", \\bob@host", []string{"mailbox root", `mailbox "a b"`, "mailbox bob@host"}},
		{"x: /var/log/x.mbox, \"/var/log/y z\"", []string{"file /var/log/x.mbox", "file /var/log/y z"}},
		{"x: /home/o'brien/mbox, bob", []string{"file /home/o'brien/mbox", "address bob"}},
		{"x: :include:/etc/list, :Include: \"/a b\", \":include:/c\"", []string{"include /etc/list", "include /a b", "include /c"}},
		{`x: "|/usr/bin/procmail -a $EXTENSION"`, []string{"command /usr/bin/procmail -a $EXTENSION"}},
		{`x: |"/usr/lib/mailman/mail/mailman post list"`, []string{"command /usr/lib/mailman/mail/mailman post list"}},
		{`x: "| cmd \"a b\" \\n, c", bob`, []string{`command cmd "a b" \n, c`, "address bob"}},
		{`x: "|a" "|b"`, []string{"command a", "command b"}},
		{`x: |cmd "a b" "c, d" 'e, f' \, g, bob`, []string{`command cmd "a b" "c, d" 'e, f' \, g`, "address bob"}},
		{`x: |cmd 'a\', bob`, []string{`command cmd 'a\'`, "address bob"}},
		{"x: |cmd a\n  b,\n\tbob", []string{"command cmd a  b", "address bob"}},
		{"x: alice,\n# comment\n\n  # indented\n  bob\r\ny: carol", []string{"address alice", "address bob"}},
		{"\ufeffx: bob", []string{"address bob"}},
		{"x: postmaster@[192.0.2.1], p@[IPv6:2001:db8::1], <@a,@b:r@c>", []string{"address postmaster@[192.0.2.1]", "address p@[IPv6:2001:db8::1]", "address r@c"}},
		{"x: jörg@bücher.example", []string{"address jörg@bücher.example"}},
		{`x: "|x"@host, "/x"@host, "#x"@host`, []string{"address |x@host", "address /x@host", "address #x@host"}},

		{"x: alice |cmd b", []string{"address alice", "bad |cmd", "address b"}},
		{"x: alice /etc/passwd", []string{"address alice", "bad /etc/passwd"}},
		{"x: |cmd don't, bob", []string{"bad |cmd don't, bob"}},
		{`x: "|cmd, bob`, []string{`bad "|cmd, bob`}},
		{`x: "|cmd"x, bob`, []string{`bad "|cmd"x`, "address bob"}},
		{"x: |, bob", []string{"bad |", "address bob"}},
		{"x: \\, bob", []string{"bad \\", "address bob"}},
		{"x: /a b, /c\\d, /dir/, bob", []string{"bad /a b", "bad /c\\d", "bad /dir/", "address bob"}},
		{"x: :include:list, bob", []string{"bad :include:list", "address bob"}},
		{"x: error:550 gone, :fail: no, g: a;", []string{"bad error:550 gone", "bad :fail: no", "bad g: a;"}},
		{"x: a\x00b, |c\x00d, /e\x01, bob", []string{"bad a?b", "bad |c?d", "bad /e?", "address bob"}},
		{"x: |caf\xe9, caf\xe9, bob", []string{"bad |caf?", "bad caf?", "address bob"}},
		{"x: /" + strings.Repeat("a", 5000), []string{"bad /" + strings.Repeat("a", 199) + "..."}},
		{"x: " + strings.Repeat("a", 64<<10), []string{"bad " + strings.Repeat("a", 200) + "..."}},
		{"x:\ny: bob", []string{"no entry"}},
		{"x bob\n", []string{"no entry"}},
		{"x@host: bob\n", []string{"no entry"}},
	} {
		t.Run(c.text[:min(len(c.text), 40)], func(t *testing.T) { equal(t, right(t, c.text), c.want...) })
	}
}

func TestHugeLine(t *testing.T) {
	if got := right(t, "x: "+strings.Repeat("a@b, ", 200_000)); len(got) != 200_000 {
		t.Errorf("%d targets", len(got))
	}
	for _, c := range []string{" ", "\\", `"`, "(", "<", "a ", `a \b `, "'", "|", "\t,"} {
		right(t, "x: a"+strings.Repeat(c, 100_000))
	}
}

func TestCheck(t *testing.T) {
	h := newHost(t, `# comment
  continues nothing
fine: bob
Fine: alice
empty:
no colon here
two words: bob
user@host: bob
: bob
many: alice,
  bob,
  b@@-x,
  error:550
"unclosed: bob
inc: :include:relative
`)
	problems, err := aliases.Check([]string{h.path("none"), h.path("aliases")})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range problems {
		place, text, _ := strings.Cut(strings.TrimPrefix(p.String(), h.path("aliases")), ": ")
		if len(text) < 20 {
			t.Errorf("%s: the text says too little", p)
		}
		got = append(got, place+" "+text[:min(len(text), 24)])
	}
	equal(t, got,
		":2 no colon: write \"name: t",
		":4 warning: Fine is listed ",
		":5 empty: nothing follows t",
		":6 no colon: write \"name: t",
		":7 \"two words\": a name with",
		":8 \"user@host\": the name of",
		":9 name of the alias: addre",
		":12 many: \"b@@-x\": address \"",
		":13 many: \"error:550\": is no",
		":14 no colon: write \"name: t",
		":15 inc: \":include:relative\"",
	)
	if _, err := aliases.Check([]string{h.dir}); err == nil || !strings.Contains(err.Error(), "local.aliases") {
		t.Errorf("error for a directory: %v", err)
	}
}

func TestFirstFileHolds(t *testing.T) {
	h := newHost(t, "a: alice\nb: bob\n")
	h.write(t, "more", "B: carol\nc: carol\n")
	files := aliases.NewFiles([]string{h.path("aliases"), h.path("none"), h.path("more")})
	h.Table = files.Table
	equal(t, h.expand(t, "b"), "user bob@example.org bob")
	equal(t, h.expand(t, "c"), "user carol@example.org carol")
	if table, _ := files.Table(); table.Len() != 3 {
		t.Errorf("%d aliases", table.Len())
	}
}

func TestFilesAreReadAnew(t *testing.T) {
	h := newHost(t, "x: alice\n")
	equal(t, h.expand(t, "x"), "user alice@example.org alice")
	h.write(t, "aliases", "x: carol\n") // of the same size, within the same tick
	equal(t, h.expand(t, "x"), "user carol@example.org carol")
	h.write(t, "new", "x: bob, carol\n")
	if err := os.Rename(h.path("new"), h.path("aliases")); err != nil {
		t.Fatal(err)
	}
	equal(t, h.expand(t, "x"), "user bob@example.org bob", "user carol@example.org carol")
	if err := os.Remove(h.path("aliases")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		equal(t, h.expand(t, "x"), "deferred 4.3.5") // an editor may be at it
	}
	h.write(t, "aliases", "x: alice\n")
	equal(t, h.expand(t, "x"), "user alice@example.org alice")
}

func TestFilesThatCannotBeRead(t *testing.T) {
	h := newHost(t, "x: alice\n")
	if err := syscall.Mkfifo(h.path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{h.dir, h.path("fifo"), "/dev/zero", h.path("aliases") + "/x"} {
		files := aliases.NewFiles([]string{h.path("aliases"), path})
		for range 2 {
			if _, err := files.Table(); err == nil || !strings.Contains(err.Error(), path+":") {
				t.Errorf("%s: %v", path, err)
			}
		}
	}
	// What was good before is not served next to a file that cannot be read now.
	files := aliases.NewFiles([]string{h.path("aliases"), h.path("more")})
	h.Table = files.Table
	equal(t, h.expand(t, "x"), "user alice@example.org alice")
	if err := os.Mkdir(h.path("more"), 0o700); err != nil {
		t.Fatal(err)
	}
	equal(t, h.expand(t, "x"), "deferred 4.3.5")
	if err := os.Remove(h.path("more")); err != nil {
		t.Fatal(err)
	}
	equal(t, h.expand(t, "x"), "user alice@example.org alice")
}

func TestFilesByManyAtOnce(t *testing.T) {
	h := newHost(t, "x: alice\n")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if got := h.expand(t, "x"); !slices.Equal(got, []string{"user alice@example.org alice"}) {
					t.Errorf("got %q", got)
				}
			}
		})
	}
	for range 20 {
		h.write(t, "new", "x: alice\n")
		if err := os.Rename(h.path("new"), h.path("aliases")); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
