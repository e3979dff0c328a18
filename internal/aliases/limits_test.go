package aliases_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/aliases"
)

func TestReadInclude(t *testing.T) {
	h := newHost(t, "")
	h.write(t, "list", "bob\n")
	if err := syscall.Mkfifo(h.path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(h.path("huge"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(16<<20 + 1); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := os.Symlink(h.path("list"), h.path("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("loop", h.path("loop")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, want string }{
		{h.path("list"), ""},
		{h.path("link"), ""},
		{h.path("none"), "refused 5.2.4"},
		{h.path("list/x"), "refused 5.2.4"},
		{h.path(strings.Repeat("x", 300)), "refused 5.2.4"},
		{h.path("fifo"), "refused 5.2.4"},
		{h.dir, "refused 5.2.4"},
		{"/dev/zero", "refused 5.2.4"},
		{h.path("huge"), "refused 5.2.4"},
		{h.path("loop"), "deferred 4.2.4"},
	} {
		text, refused := aliases.ReadInclude(c.path)
		switch {
		case refused == nil && c.want == "":
			if text != "bob\n" {
				t.Errorf("%s: %q", c.path, text)
			}
		case refused == nil || refusal(refused) != c.want || !strings.Contains(refused.Text, c.path):
			t.Errorf("%s: %+v, want %s", c.path, refused, c.want)
		}
	}
}

func TestUnreadableIncludeDefers(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root reads everything")
	}
	h := newHost(t, "")
	h.write(t, "secret", "bob\n")
	if err := os.Chmod(h.path("secret"), 0); err != nil {
		t.Fatal(err)
	}
	if _, refused := aliases.ReadInclude(h.path("secret")); refused == nil || !refused.Temporary {
		t.Errorf("refused %+v", refused)
	}
}

func TestIncludesThatAreNotLists(t *testing.T) {
	h := newHost(t, "a: :include:{TMP}/self\nb: :include:{TMP}/cmds, bob\nempty: :include:{TMP}/empty\nnul: :include:{TMP}/nul\n")
	h.write(t, "self", "a, bob\n")
	h.write(t, "cmds", "|cmd\n/file\n:include:{TMP}/self\n\"|cmd\"\n")
	h.write(t, "empty", "# nobody yet\n")
	h.write(t, "nul", "a\x00b\n\x00\nbob\n"+strings.Repeat("x", 64<<10)+"\n")
	equal(t, h.expand(t, "a"), "a@example.org refused 5.4.6", "user bob@example.org bob")
	equal(t, h.expand(t, "b"), "b@example.org refused 5.7.1", "b@example.org refused 5.7.1", "user bob@example.org bob")
	equal(t, h.expand(t, "empty"), "refused 5.2.4")
	equal(t, h.expand(t, "nul"), "nul@example.org refused 5.1.3", "nul@example.org refused 5.1.3",
		"user bob@example.org bob", "nul@example.org refused 5.1.3")
}

// addresses gives n remote ones from the first.
func addresses(first, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "user%d@example.net,\n  ", first+i)
	}
	return b.String()
}

func TestLargeLists(t *testing.T) {
	h := newHost(t, "big: "+addresses(0, 10_000)+"\nfull: "+addresses(0, 100_000)+"\nover: "+addresses(0, 100_001)+
		"\nboth: big, full\n")
	for to, want := range map[string]int{"big": 10_000, "full": 100_000, "both": 100_000} {
		x := h.Expand(t.Context(), parse(t, to))
		if len(x.Leaves) != want || x.Refused != nil {
			t.Fatalf("%s: %d leaves, %+v", to, len(x.Leaves), x.Refused)
		}
		if via := x.Leaves[want-1].Via; via[0] != parse(t, to) {
			t.Errorf("%s: via %v", to, via)
		}
		if len(x.Steps[0]) > 1000 {
			t.Errorf("%s: a step of %d bytes", to, len(x.Steps[0]))
		}
	}
	equal(t, h.expand(t, "over"), "refused 5.2.4")
}

func TestDepth(t *testing.T) {
	var b strings.Builder
	for i := range 60 {
		fmt.Fprintf(&b, "a%d: a%d\n", i, i+1)
	}
	h := newHost(t, b.String()+"a60: bob\n")
	equal(t, h.expand(t, "a11"), "user bob@example.org bob")
	equal(t, h.expand(t, "a10"), "a60@example.org refused 5.4.6")
}

func TestForwardIsBounded(t *testing.T) {
	h := newHost(t, "")
	huge := strings.Repeat("#", 1<<20) + "\n"
	equal(t, h.forward(t, "alice", huge), "refused 5.2.4")
	h.write(t, "huge", huge)
	equal(t, h.forward(t, "alice", "bob, :include:{TMP}/huge"), "user bob@example.org bob", "alice@example.org refused 5.2.4")
}

// TestManyWays would take for ever if what two aliases share were expanded twice.
func TestManyWays(t *testing.T) {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "a%d: x%d, y%d\nx%d: a%d\ny%d: a%d\n", i, i, i, i, i+1, i, i+1)
	}
	h := newHost(t, b.String())
	if got := h.expand(t, "a20"); len(got) != 1 || !strings.Contains(got[0], "5.1.1") {
		t.Errorf("got %q", got)
	}
}

// TestMuchWorkForNothing names one list by many extensions.
func TestMuchWorkForNothing(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "list+%d\n", i)
	}
	h := newHost(t, "list: "+addresses(0, 10_000)+"\n")
	equal(t, h.forward(t, "alice", b.String()), "refused 5.2.4")
}

func TestIncludeBytes(t *testing.T) {
	var b strings.Builder
	b.WriteString("a: bob")
	h := newHost(t, "")
	h.write(t, "blank", strings.Repeat("#", 16<<20))
	for i := range 5 {
		if err := os.Symlink("blank", h.path(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, ", :include:{TMP}/%d, :include:{TMP}/%d", i, i)
		h.write(t, "aliases", b.String())
		want := "user bob@example.org bob"
		if i == 4 {
			want = "refused 5.2.4"
		}
		equal(t, h.expand(t, "a"), want)
	}
}

func BenchmarkExpand(b *testing.B) {
	h := newHost(b, "big: "+addresses(0, 10_000)+"\n")
	b.ReportAllocs()
	for b.Loop() {
		if x := h.Expand(b.Context(), parse(b, "big")); len(x.Leaves) != 10_000 {
			b.Fatal(len(x.Leaves))
		}
	}
}
