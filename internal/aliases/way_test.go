package aliases_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/aliases"
)

// A user whose list an alias includes must not get to read what only we may: bad
// lines are told to the sender.
func TestIncludeIsNotLedToOthersFiles(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, who owns the files that are not to be read")
	}
	const user = 1001
	dir := t.TempDir()
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		must(t, os.Chmod(d, 0o755))
	}
	put := func(name string, mode os.FileMode, uid int) {
		t.Helper()
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte("root:$6$secret\n"), mode))
		must(t, os.Chown(path, uid, uid))
	}
	link := func(name, to string, uid int) {
		t.Helper()
		must(t, os.Symlink(to, filepath.Join(dir, name)))
		must(t, os.Lchown(filepath.Join(dir, name), uid, uid))
	}
	put("etc/shadow", 0o600, 0)
	put("etc/public", 0o644, 0)
	put("private/list", 0o644, 0)
	must(t, os.Chmod(filepath.Join(dir, "private"), 0o700))
	put("home/list", 0o600, user)
	put("home/roots", 0o600, 0)
	put("home/public", 0o644, 0)
	put("home/others", 0o600, user+1)
	must(t, os.Chown(filepath.Join(dir, "home"), user, user))
	link("home/shadow", "../etc/shadow", user)
	link("home/absolute", filepath.Join(dir, "etc/shadow"), user)
	link("home/etc", "../etc", user)
	link("home/private", "../private/list", user)
	link("home/toPublic", "../etc/public", user)
	link("etc/ours", "shadow", 0)
	link("etc/list", "../home/list", 0)
	link("etc/twice", "../home/shadow", 0)
	link("etc/dropped", "shadow", user)

	for name, allowed := range map[string]bool{
		"etc/shadow": true, "etc/ours": true, "private/list": true, // root's own word
		"home/list": true, "etc/list": true, "home/public": true, "home/toPublic": true, "home/../etc/shadow": false,
		"home/shadow": false, "home/absolute": false, "home/etc/shadow": false, "home/private": false,
		"home/roots": false, "home/others": false, "etc/twice": false, "etc/dropped": false,
	} {
		// Not filepath.Join, which would take ".." away.
		text, refused := aliases.ReadInclude(dir + "/" + name)
		switch {
		case allowed && (refused != nil || text == ""):
			t.Errorf("%s: refused: %+v", name, refused)
		case !allowed && (refused == nil || text != ""):
			t.Errorf("%s: read %q", name, text)
		case !allowed && (!refused.Temporary || refused.Status != "4.7.1" || !strings.Contains(refused.Text, "uid 1001")):
			t.Errorf("%s: refused with %+v", name, refused)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestNestedIncludes: an include file names others where nobody but root could have
// made it do so.
func TestNestedIncludes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("takes root, to give files away")
	}
	h := newHost(t, "list: :include:{TMP}/outer\n")
	h.write(t, "outer", "bob\n:include:{TMP}/inner\n:include:{TMP}/outer\n")
	h.write(t, "inner", "carol\n")
	const bob, carol, refused = "user bob@example.org bob", "user carol@example.org carol", "list@example.org refused 5.7.1"
	equal(t, h.expand(t, "list"), bob, carol)
	must(t, os.Chown(h.path("outer"), 1001, 1001))
	equal(t, h.expand(t, "list"), bob, refused, refused)
	must(t, os.Chown(h.path("outer"), 0, 0))
	must(t, os.Chmod(h.path("outer"), 0o666))
	equal(t, h.expand(t, "list"), bob, refused, refused)
}
