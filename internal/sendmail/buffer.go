package sendmail

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// memoryLimit is how much of a message is held in memory, in bytes. What is longer
// goes to a file without a name.
const memoryLimit = 1 << 20

// buffer holds a whole message, so that it can be handed in as often as there are
// ways in: no daemon that dies in the middle takes part of it along.
type buffer struct {
	dirs []string // where a file may go, in order

	mem      []byte
	file     *os.File
	fileless bool // no file could be made: memory it is
	size     int64
}

// Write appends.
func (b *buffer) Write(p []byte) (int, error) {
	if b.file == nil && !b.fileless && len(b.mem)+len(p) > memoryLimit {
		if err := b.spill(); err != nil {
			return 0, err
		}
	}
	if b.file != nil {
		n, err := b.file.Write(p)
		b.size += int64(n)
		return n, err
	}
	b.mem = append(b.mem, p...)
	b.size += int64(len(p))
	return len(p), nil
}

// spill moves the message to a file that vanishes with the process.
func (b *buffer) spill() error {
	for _, dir := range b.dirs {
		f, err := nameless(dir)
		if err != nil {
			continue
		}
		if _, err := f.Write(b.mem); err != nil {
			f.Close()
			return fmt.Errorf("buffer message in %s: %w", dir, err)
		}
		b.file, b.mem = f, nil
		return nil
	}
	b.fileless = true
	return nil
}

// nameless makes a file that no other process can open and that leaves nothing
// behind.
func nameless(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_RDWR|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), dir), nil
	}
	f, err := os.CreateTemp(dir, "tmp-sendmail-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// reader reads the message from its beginning; readers do not disturb each other.
func (b *buffer) reader() io.Reader {
	if b.file != nil {
		return io.NewSectionReader(b.file, 0, b.size)
	}
	return &memoryReader{b.mem}
}

// memoryReader is bytes.Reader without a WriterTo: copying goes in pieces, so that
// deadlines and contexts are looked at in between.
type memoryReader struct{ rest []byte }

func (m *memoryReader) Read(p []byte) (int, error) {
	if len(m.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func (b *buffer) close() {
	if b.file != nil {
		b.file.Close()
	}
}
