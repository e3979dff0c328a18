package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// appendFile delivers to a file that an alias or a .forward names.
func (m *Mailboxes) appendFile(ctx context.Context, j Job, message messageWriter) error {
	if _, err := os.Lstat(filepath.Dir(j.path)); errors.Is(err, fs.ErrNotExist) {
		return temporary("4.2.0", fmt.Sprintf("file %s: its directory does not exist, make it", j.path))
	}
	// What opening a device does, nobody knows.
	if fi, err := os.Lstat(j.path); err == nil && !fi.Mode().IsRegular() && fi.Mode()&fs.ModeSymlink == 0 {
		return temporary("4.2.0", fmt.Sprintf("file %s is not a regular file", j.path))
	}
	err := m.deposit(ctx, spot{path: j.path, owner: &j.Owner, named: true}, message)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; user %s must be able to read and write it", err, j.Owner.Name)
	}
	return err
}
