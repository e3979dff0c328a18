package maildrop

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// fileMode lets the directory's group, which is the daemon's, read the file.
const fileMode = 0o640

// Write leaves a message in the directory. When it returns nil the message is
// durable; otherwise nothing of it is left. The body has LF line ends. A context
// that ends before the file is renamed stops it.
func Write(ctx context.Context, dir string, h Header, body io.Reader) (err error) {
	f, err := createTemp(dir)
	if err != nil {
		return err
	}
	name := f.Name()
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(name)
		}
	}()
	if err := fill(ctx, f, h, body); err != nil {
		return fmt.Errorf("write to maildrop: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write to maildrop: %w", err)
	}
	final := filepath.Join(dir, finishedName(time.Now()))
	if err := os.Rename(name, final); err != nil {
		return fmt.Errorf("finish maildrop file: %w", err)
	}
	return syncOrWithdraw(f, final)
}

func createTemp(dir string) (*os.File, error) {
	name := filepath.Join(dir, tempPrefix+randomName())
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create file in maildrop: %w", err)
	}
	// Whatever the umask is.
	if err := f.Chmod(fileMode); err != nil {
		f.Close()
		os.Remove(name)
		return nil, fmt.Errorf("create file in maildrop: %w", err)
	}
	return f, nil
}

// fill writes the whole file and syncs it.
func fill(ctx context.Context, f *os.File, h Header, body io.Reader) error {
	sum := newChecksum()
	envelope := h.marshal()
	if len(envelope) > maxHeader {
		return fmt.Errorf("the envelope of %d recipients is too long", len(h.Recipients))
	}
	if _, err := f.Write(make([]byte, preambleLength)); err != nil {
		return err
	}
	out := io.MultiWriter(f, sum)
	if _, err := io.Copy(out, bytes.NewReader(envelope)); err != nil {
		return err
	}
	n, err := io.Copy(out, contextReader{ctx, body})
	if err != nil {
		return err
	}
	p := preamble{header: int64(len(envelope)), body: n, sum: sum.Sum64()}
	if _, err := f.WriteAt([]byte(p.String()), 0); err != nil {
		return err
	}
	return f.Sync()
}

// syncOrWithdraw makes the new name durable. The whole file system is synced,
// since the directory may not be opened. If that fails the file is withdrawn,
// unless the daemon has taken it already: then the message is in the queue.
func syncOrWithdraw(f *os.File, final string) error {
	err := unix.Syncfs(int(f.Fd()))
	if err == nil {
		return nil
	}
	if gone := os.Remove(final); errors.Is(gone, fs.ErrNotExist) {
		return nil
	}
	return fmt.Errorf("sync maildrop: %w", err)
}

// finishedName sorts by time, so that a reader goes in about the right order.
func finishedName(now time.Time) string {
	return fmt.Sprintf("%s%016x-%s", finishedPrefix, now.UnixNano(), randomName())
}

func randomName() string {
	var b [8]byte
	for n := 0; n < len(b); {
		got, err := unix.Getrandom(b[n:], 0)
		if err != nil && !errors.Is(err, unix.EINTR) {
			// Only a kernel older than 3.17; the name need only be new.
			return fmt.Sprintf("%x-%x", os.Getpid(), time.Now().UnixNano())
		}
		n += max(got, 0)
	}
	return fmt.Sprintf("%x", b)
}

// contextReader stops reading when the context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
