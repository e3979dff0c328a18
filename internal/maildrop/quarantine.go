package maildrop

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// reasonSuffix ends the name of the file that says why another is in quarantine.
const reasonSuffix = ".reason"

// quarantine moves a file out of the directory and notes why. The reason is
// written first: a file without one cannot be told from a forgotten one.
func (r *Reader) quarantine(name string, reason error) error {
	target := filepath.Join(r.Quarantine, name)
	text := strings.ReplaceAll(reason.Error(), "\n", " ") + "\n"
	if err := os.WriteFile(target+reasonSuffix, []byte(text), 0o600); err != nil {
		return fmt.Errorf("quarantine maildrop file (%w): %w", reason, err)
	}
	if err := os.Rename(filepath.Join(r.Dir, name), target); err != nil {
		return errors.Join(fmt.Errorf("quarantine maildrop file (%w): %w", reason, err), os.Remove(target+reasonSuffix))
	}
	r.Logger.Error("put maildrop file into quarantine", "file", target, "reason", reason)
	return nil
}

// Damaged describes a file in quarantine.
type Damaged struct {
	Name   string    `json:"name"`
	Reason string    `json:"reason"`
	UID    int       `json:"uid"`
	Time   time.Time `json:"time"`
	Size   int64     `json:"size"`
}

// Quarantined lists the files in a quarantine directory by name. A directory that
// does not exist holds none.
func Quarantined(dir string) ([]Damaged, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read quarantine: %w", err)
	}
	var found []Damaged
	for _, e := range entries {
		info, err := e.Info()
		if strings.HasSuffix(e.Name(), reasonSuffix) || err != nil {
			continue
		}
		d := Damaged{Name: e.Name(), Time: info.ModTime(), Size: info.Size(), Reason: readReason(dir, e.Name())}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			d.UID = int(st.Uid)
		}
		found = append(found, d)
	}
	return found, nil
}

func readReason(dir, name string) string {
	text, err := os.ReadFile(filepath.Join(dir, name+reasonSuffix))
	if err != nil {
		return "no reason was noted"
	}
	return strings.TrimSpace(string(text))
}
