package sendmail

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Env is all that the command sees of the world.
type Env struct {
	// Args is the command line, program name first.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// UID is who calls; EUID decides what may be written.
	UID, EUID int
	Environ   []string
	// Passwd is the path of passwd(5).
	Passwd string
	// TempDirs are where a large message may wait, in order; the maildrop comes
	// before them.
	TempDirs []string
	// Programs are the directories the postrider program may lie in, in order; nil
	// for the usual ones.
	Programs []string
	// Exec becomes another program and returns only if it cannot.
	Exec func(program string, argv, environ []string) error
	// Capture runs another program to its end, with our standard error.
	Capture func(program string, argv, environ []string) (stdout []byte, status int, err error)
	// Start runs another program in a session of its own, without our files. It does
	// not wait for it; what it returns does, and gives the exit status.
	Start func(program string, argv, environ []string) (wait func() int, err error)
	// SetName gives the process another name, which the daemon logs; may be nil.
	SetName func(name string)
	// IgnorePipe has writing to a pipe without reader fail instead of ending the
	// process; nil if it does.
	IgnorePipe func()
	// Watch begins to look out for signals that are to stop the way being tried; nil
	// for none.
	Watch func(stopWay context.CancelCauseFunc) *Interrupts
	// Patience with the daemon.
	Patience Patience
	Now      func() time.Time
}

// System is the Env of the running process.
func System() Env {
	return Env{
		Args:       os.Args,
		Stdin:      os.Stdin,
		Stdout:     os.Stdout,
		Stderr:     os.Stderr,
		UID:        os.Getuid(),
		EUID:       os.Geteuid(),
		Environ:    os.Environ(),
		Passwd:     "/etc/passwd",
		TempDirs:   []string{os.TempDir(), "/var/tmp"},
		Exec:       execProgram,
		Capture:    captureProgram,
		Start:      startProgram,
		SetName:    setProcessName,
		IgnorePipe: ignorePipeSignal,
		Watch:      watchSignals,
		Patience:   DefaultPatience(),
		Now:        time.Now,
	}
}

// programDirs begins with the directory of our own executable, links resolved:
// the programs are installed together, in a build directory too.
func programDirs() []string {
	dirs := []string{"/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"}
	self, err := filepath.EvalSymlinks("/proc/self/exe")
	if err != nil {
		return dirs
	}
	return append([]string{filepath.Dir(self)}, dirs...)
}

// variable looks a name up in the environment.
func (e *Env) variable(name string) (value string, ok bool) {
	for _, kv := range e.Environ {
		if k, v, found := strings.Cut(kv, "="); found && k == name {
			return v, true
		}
	}
	return "", false
}
