package aliases

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSettledFilesAreKept moves the clock instead of waiting for files to age.
func TestSettledFilesAreKept(t *testing.T) {
	dir := t.TempDir()
	path, more := filepath.Join(dir, "aliases"), filepath.Join(dir, "more")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("x: alice\n")
	f := NewFiles([]string{path, more})
	read := func() *Table {
		t.Helper()
		table, err := f.Table()
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	if first := read(); first == read() {
		t.Error("a file that was just written was not read again")
	}
	f.now = func() time.Time { return time.Now().Add(time.Minute) }
	old := read()
	if read() != old {
		t.Error("an old file was read again")
	}
	write("x: alice, bob\n")
	if err := os.Mkdir(more, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Table(); err == nil {
		t.Error("a directory was read")
	}
	if err := os.Remove(more); err != nil {
		t.Fatal(err)
	}
	if items, _ := read().Lookup("X"); len(items) != 2 {
		t.Errorf("got %v", items)
	}
}
