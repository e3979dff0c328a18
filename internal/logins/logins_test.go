package logins_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/xdg-go/scram"

	"postrider/internal/logins"
)

// known is for the password "pencil", with the values of RFC 7677 §3.
const known = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func set(t *testing.T, path, name, password string) bool {
	t.Helper()
	added, err := logins.Set(path, name, password, -1)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
	return path
}

func verify(t *testing.T, b *logins.Book, name, password string) bool {
	t.Helper()
	ok, err := b.Verify(name, password)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

// prove logs in with SCRAM-SHA-256.
func prove(t *testing.T, b *logins.Book, name, password, actAs string) bool {
	t.Helper()
	client, err := scram.SHA256.NewClient(name, password, actAs)
	if err != nil {
		t.Fatal(err)
	}
	server, err := b.Conversation()
	if err != nil {
		t.Fatal(err)
	}
	c := client.NewConversation()
	challenge := ""
	for range 2 {
		message, err := c.Step(challenge)
		if err != nil {
			t.Fatal(err)
		}
		if challenge, err = server.Step(message); err != nil {
			return false
		}
	}
	if _, err := c.Step(challenge); err != nil || !c.Valid() {
		t.Errorf("the server's proof is wrong: %v", err)
	}
	if server.Name() != name {
		t.Errorf("name %q, want %q", server.Name(), name)
	}
	return server.Valid()
}

// TestForeignHash takes the test vector of RFC 7677 §3 in the form other programs
// write it.
func TestForeignHash(t *testing.T) {
	b := logins.Open(file(t, "# comment\n\nuser:"+known+"\r\n"))
	if !verify(t, b, "user", "pencil") || verify(t, b, "user", "Pencil") {
		t.Error("password is not checked")
	}
	if !prove(t, b, "user", "pencil", "") || !prove(t, b, "user", "pencil", "user") {
		t.Error("proof is not taken")
	}
	if prove(t, b, "user", "pen", "") || prove(t, b, "user", "pencil", "root") {
		t.Error("wrong proof is taken")
	}
}

func TestSetVerifyDelete(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	b := logins.Open(path)
	if verify(t, b, "alice", "") || b.Exists() {
		t.Error("a login without a file")
	}
	if !set(t, path, "alice", "one") || !set(t, path, "bob@x.test", "pass:$word") || set(t, path, "alice", "tw\u00a0o") {
		t.Error("added is wrong")
	}
	for _, tt := range []struct {
		name, password string
		want           bool
	}{
		{"alice", "one", false}, {"alice", "tw\u00a0o", true}, {"alice", "tw o", true}, {"alice", "", false}, {"Alice", "tw o", false},
		{"bob@x.test", "pass:$word", true}, {"", "", false}, {"nobody", "one", false}, {"alice", "\x00", false}, {"alice", "\xff", false},
	} {
		if got := verify(t, b, tt.name, tt.password); got != tt.want {
			t.Errorf("%q with %q: %v", tt.name, tt.password, got)
		}
	}
	if !prove(t, b, "alice", "tw o", "") || prove(t, b, "nobody", "x", "") {
		t.Error("SCRAM judges otherwise")
	}
	if !b.Knows("alice") || b.Knows("nobody") {
		t.Error("names are not known")
	}
	if err := logins.Delete(path, "alice"); err != nil {
		t.Fatal(err)
	}
	if verify(t, b, "alice", "tw o") {
		t.Error("login outlives its end")
	}
	if err := logins.Delete(path, "alice"); !errors.Is(err, logins.ErrUnknown) {
		t.Errorf("deleted twice: %v", err)
	}
	names, err := logins.List(path)
	if err != nil || !slices.Equal(names, []string{"bob@x.test"}) {
		t.Errorf("list %q, %v", names, err)
	}
}

// TestUnknownNamesLookAlike: who asks for a name that is not there gets the same
// salt each time.
func TestUnknownNamesLookAlike(t *testing.T) {
	b := logins.Open(file(t, "user:"+known+"\n"))
	salt := func(name string) string {
		c, err := b.Conversation()
		if err != nil {
			t.Fatal(err)
		}
		challenge, err := c.Step("n,,n=" + name + ",r=abc")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(challenge, ",s=")
		return rest
	}
	first, again, other := salt("x"), salt("x"), salt("y")
	if first != again || first == other {
		t.Error("made-up salts give themselves away")
	}
}

func TestRewriteKeepsTheRest(t *testing.T) {
	text := "# our logins\n\nuser:" + known + "\n# keep: me\n"
	path := file(t, text)
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 1234, 5678); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	set(t, link, "new", "secret")
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(got), text+"new:SCRAM-SHA-256$30000:") || strings.Contains(string(got), "secret") {
		t.Errorf("file is now:\n%s", got)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && (st.Uid != 1234 || st.Gid != 5678) {
		t.Errorf("owner %d:%d", st.Uid, st.Gid)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

func TestNewFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	if _, err := logins.Set(path, "a", "b", os.Getegid()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := logins.Set(filepath.Join(t.TempDir(), "no", "users"), "a", "b", -1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a directory: %v", err)
	}
}

func TestConcurrentEdits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := logins.Set(path, fmt.Sprintf("user%d", i), "x", -1); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if names, err := logins.List(path); err != nil || len(names) != 8 {
		t.Errorf("%q, %v", names, err)
	}
}

func TestRefusedValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users")
	for _, tt := range []struct{ name, password, says string }{
		{"", "x", "empty"}, {"a:b", "x", "colon"}, {"a b", "x", "blanks"}, {"#a", "x", "#"}, {"a\n", "x", "name"}, {"ä", "x", "ASCII"},
		{strings.Repeat("a", 256), "x", "255"}, {"a", "", "empty"}, {"a", "x\x00y", "RFC 4013"}, {"a", "\xff", "RFC 4013"}, {"a", strings.Repeat("x", 1025), "1024"},
	} {
		_, err := logins.Set(path, tt.name, tt.password, -1)
		if err == nil || !strings.Contains(err.Error(), tt.says) || tt.password != "x" && tt.password != "" && strings.Contains(err.Error(), tt.password) {
			t.Errorf("%q with %q: %v", tt.name, tt.password, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
}

func TestBadFiles(t *testing.T) {
	for name, tt := range map[string]struct{ text, says string }{
		"no colon":        {"alice\n", "line 1"},
		"clear text":      {"# x\nalice:secret\n", "line 2"},
		"another scheme":  {"alice:SCRAM-SHA-1$4096:AAAAAAAAAAAA$AAAA:AAAA\n", "set its password again"},
		"few iterations":  {"alice:" + strings.Replace(known, "4096", "4095", 1) + "\n", "iterations"},
		"endless":         {"alice:" + strings.Replace(known, "4096", "99999999", 1) + "\n", "iterations"},
		"short salt":      {"alice:" + strings.Replace(known, "W22ZaJ0SNY7soEsUEjb6gQ==", "AAAA", 1) + "\n", "salt"},
		"short key":       {"alice:" + strings.Replace(known, "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "AAAA", 1) + "\n", "StoredKey"},
		"short other key": {"alice:" + strings.Replace(known, "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=", "AAAA", 1) + "\n", "ServerKey"},
		"twice":           {"alice:" + known + "\nalice:" + known + "\n", "twice"},
	} {
		path := file(t, tt.text)
		_, err := logins.Open(path).Verify("alice", "secret")
		if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := logins.Set(path, "bob", "x", -1); err == nil {
			t.Errorf("%s: rewritten", name)
		}
	}
}

// TestFileOpenToOthers: the daemon's group may read it, nobody else may do anything.
func TestFileOpenToOthers(t *testing.T) {
	path := file(t, "user:"+known+"\n")
	b := logins.Open(path)
	for mode, ok := range map[os.FileMode]bool{0o600: true, 0o640: true, 0o400: true, 0o644: false, 0o660: false, 0o642: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
}
