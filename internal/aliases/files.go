package aliases

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxFile is more than any alias file, and little enough for memory.
const maxFile = 64 << 20

// Files are alias files, of which the first that lists a name holds. They are read
// anew when they have changed. It is safe for concurrent use.
type Files struct {
	now func() time.Time

	mu    sync.Mutex
	files []file
	table *Table
}

// file is one alias file as it was last read.
type file struct {
	path    string
	stamp   stamp
	entries map[string]*entry
	// settled says that the file had not been changed for long enough when it was
	// read for its next change to show in the stamp.
	settled bool
}

// stamp differs for a file that has changed.
type stamp struct {
	exists         bool
	device, inode  uint64
	size           int64
	wrote, changed syscall.Timespec
}

// NewFiles names the files; none is read before [Files.Table].
func NewFiles(paths []string) *Files {
	f := &Files{now: time.Now}
	for _, p := range paths {
		f.files = append(f.files, file{path: p})
	}
	return f
}

// Table gives what the files say now. A file that has never existed says nothing;
// one that is there no more, or cannot be read, is an error.
func (f *Files) Table() (*Table, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed := f.table == nil
	for i := range f.files {
		again, err := f.refresh(&f.files[i])
		if err != nil {
			return nil, err
		}
		if again {
			f.table = nil // not to be served if another file fails
			changed = true
		}
	}
	if changed {
		f.table = merge(f.files)
	}
	return f.table, nil
}

// refresh reads a file if it has changed, and reports whether it did.
func (f *Files) refresh(known *file) (bool, error) {
	now := f.now()
	info, err := os.Stat(known.path)
	if err == nil && known.settled && stampOf(info) == known.stamp {
		return false, nil
	}
	text, info, err := readRegular(known.path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && known.stamp.exists:
		// Editors take a file away for a moment, and whoever does so for good must not
		// have the mail of every alias returned.
		return false, fmt.Errorf("alias file %s has vanished: put it back, if need be empty, or take it out of local.aliases and reload", known.path)
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	}
	if err != nil {
		return false, unreadable(known.path, err)
	}
	known.stamp = stampOf(info)
	known.settled = now.Sub(time.Unix(known.stamp.changed.Unix())) > time.Second
	known.entries = parseTable(known.path, text, func(Problem) {})
	return true, nil
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{exists: true, size: info.Size()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		s.device, s.inode, s.wrote, s.changed = uint64(st.Dev), st.Ino, st.Mtim, st.Ctim
	}
	return s
}

func merge(files []file) *Table {
	if len(files) == 1 && files[0].entries != nil {
		return &Table{entries: files[0].entries}
	}
	all := make(map[string]*entry)
	for _, f := range slices.Backward(files) {
		maps.Copy(all, f.entries)
	}
	return &Table{entries: all}
}

// Check reads the files and tells all that is wrong in them, for newaliases. Texts
// that begin with "warning:" are of lines that do no harm. The error is that of a
// file that cannot be read; one that does not exist is none.
func Check(paths []string) ([]Problem, error) {
	var problems []Problem
	for _, path := range paths {
		text, _, err := readRegular(path, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return problems, unreadable(path, err)
		}
		parseTable(path, text, func(p Problem) { problems = append(problems, p) })
	}
	return problems, nil
}

func unreadable(path string, err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		err = inPath.Err // the path is told already
	}
	return fmt.Errorf("read alias file %s: %w; make it a file that the mail system may read, or take it out of local.aliases", path, err)
}

var (
	errNotRegular = errors.New("not a regular file")
	errTooLarge   = errors.New("file is too large")
)

// readRegular reads a file, but no device and no pipe, which might never end.
func readRegular(path string, most int64) (string, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return "", nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", nil, err
	}
	if !info.Mode().IsRegular() {
		return "", nil, errNotRegular
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return "", nil, err
	}
	if int64(len(text)) > most {
		return "", nil, fmt.Errorf("%w: more than %d MiB", errTooLarge, most>>20)
	}
	return string(text), info, nil
}
