package callers

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// mountRoot gives a root directory with what the script install has put into a
// layer. What is changed there is gone after the run.
func mountRoot(t *testing.T, layer string) string {
	t.Helper()
	dir := filepath.Join(*runDir, layer)
	overlay(t, "/", filepath.Join(keptDir(), layer), dir+".installed")
	overlay(t, dir+".installed", dir+".changes", dir)
	mount(t, "proc", dir+"/proc", "proc", 0, "")
	for _, name := range []string{"/run", "/tmp", "/dev"} {
		mount(t, "callers", dir+name, "tmpfs", 0, "mode=1777")
	}
	for _, name := range []string{"/dev/shm", "/dev/pts", "/run/lock"} {
		makeDir(t, dir+name)
	}
	mount(t, "devpts", dir+"/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666")
	for name, number := range map[string]uint32{"null": 3, "zero": 5, "full": 7, "random": 8, "urandom": 9} {
		device(t, dir+"/dev/"+name, 1, number)
	}
	device(t, dir+"/dev/tty", 5, 0)
	for name, to := range map[string]string{"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2"} {
		if err := os.Symlink(to, dir+"/dev/"+name); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// overlay mounts at a directory what another holds, with the changes of a third.
func overlay(t *testing.T, lower, upper, at string) {
	t.Helper()
	makeDir(t, upper)
	makeDir(t, at)
	work := at + ".work"
	makeDir(t, work)
	mount(t, "callers", at, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work)
}

func mount(t *testing.T, what, at, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(what, at, kind, flags, data); err != nil {
		t.Fatalf("mount %s at %s: %v", kind, at, err)
	}
}

// device makes a character device that everybody may use.
func device(t *testing.T, path string, major, minor uint32) {
	t.Helper()
	if err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(major, minor))); err != nil {
		t.Fatalf("make %s: %v", path, err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
}

func makeDir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
}

// write makes a file of the machine.
func (m *machine) write(t *testing.T, path, text string) {
	t.Helper()
	makeDir(t, filepath.Dir(m.root+path))
	if err := os.WriteFile(m.root+path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// writeAs makes a file in a user's home directory.
func (m *machine) writeAs(t *testing.T, user, name, text string) {
	t.Helper()
	who := m.users[user]
	m.write(t, filepath.Join(who.home, name), text)
	if err := os.Chown(filepath.Join(m.root, who.home, name), int(who.uid), int(who.gid)); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(m.root + path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (m *machine) remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(m.root + path); err != nil {
		t.Fatal(err)
	}
}

func (m *machine) mkdir(t *testing.T, path string) {
	t.Helper()
	makeDir(t, m.root+path)
}
