package maildrop

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// ErrDamaged says that a file is not what Write leaves: cut short, altered, or
// no plain file at all.
var ErrDamaged = errors.New("damaged maildrop file")

// ErrRefused is wrapped by the accepting function's error for a message that will
// never be acceptable. Such files go to the quarantine too.
var ErrRefused = errors.New("message refused")

// Drop is a message found in the directory, as far as it has been verified: the
// envelope is well-formed, and reading the body to its end tells whether length
// and checksum are right.
type Drop struct {
	Header
	// Name of the file in the directory.
	Name string
	// UID of the file's owner, and Time when it was finished, as the kernel says.
	UID  int
	Time time.Time
	// Size of the body in bytes.
	Size int64

	file *os.File
	left int64
	want uint64
	sum  hash.Hash64
}

// openDrop opens a file in the directory, which must be a plain one with no other
// name. It follows no link and does not wait for a FIFO's writer.
func openDrop(dir *os.File, name string) (*Drop, error) {
	const flags = unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), name, flags, 0)
	if err != nil {
		return nil, openError(name, err)
	}
	d := &Drop{Name: name, file: os.NewFile(uintptr(fd), name), sum: newChecksum()}
	if err := d.inspect(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// openError marks what no second try makes better: a link yields ELOOP, a socket
// ENXIO, and EACCES a file that its owner made unreadable.
func openError(name string, errno error) error {
	err := &os.PathError{Op: "open", Path: name, Err: errno}
	if errors.Is(errno, unix.ELOOP) || errors.Is(errno, unix.ENXIO) || errors.Is(errno, unix.EACCES) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

func (d *Drop) inspect() error {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.file.Fd()), &st); err != nil {
		return &os.PathError{Op: "stat", Path: d.Name, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: not a plain file", ErrDamaged)
	case st.Nlink != 1:
		return fmt.Errorf("%w: it has %d names", ErrDamaged, st.Nlink)
	}
	d.UID = int(st.Uid)
	// Of the three times the one that users cannot set.
	d.Time = time.Unix(st.Ctim.Unix())
	return d.readEnvelope(st.Size)
}

func (d *Drop) readEnvelope(size int64) error {
	head := make([]byte, preambleLength)
	if _, err := io.ReadFull(d.file, head); err != nil {
		return readError(err)
	}
	p, err := parsePreamble(string(head))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if p.header > maxHeader || p.body != size-int64(preambleLength)-p.header {
		return fmt.Errorf("%w: it has %d bytes and claims an envelope of %d and a body of %d", ErrDamaged, size, p.header, p.body)
	}
	envelope := make([]byte, p.header)
	if _, err := io.ReadFull(d.file, envelope); err != nil {
		return readError(err)
	}
	if err := d.Header.unmarshal(envelope); err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	d.sum.Write(envelope)
	d.Size, d.left, d.want = p.body, p.body, p.sum
	return d.verifyEnd()
}

func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: cut short", ErrDamaged)
	}
	return fmt.Errorf("read maildrop file: %w", err)
}

// verifyEnd compares the checksum once nothing is left to be read.
func (d *Drop) verifyEnd() error {
	if d.left == 0 && d.sum.Sum64() != d.want {
		return fmt.Errorf("%w: wrong checksum", ErrDamaged)
	}
	return nil
}

// Read reads the body. It yields io.EOF only if all of the file is right, and
// else an error that wraps ErrDamaged: who stores what is read must not accept it
// before io.EOF.
func (d *Drop) Read(p []byte) (int, error) {
	if d.left == 0 {
		if err := d.verifyEnd(); err != nil {
			return 0, err
		}
		return 0, io.EOF
	}
	n, err := d.file.Read(p[:min(int64(len(p)), d.left)])
	d.left -= int64(n)
	d.sum.Write(p[:n])
	if err != nil {
		return n, readError(err)
	}
	return n, nil
}

func (d *Drop) close() { d.file.Close() }
