package sendmail

import (
	"io"
	"os"
	"path/filepath"
	"syscall"

	"postrider/internal/sysexits"
)

// postrider finds the program that does what is not ours to do. It is looked for
// in fixed places: PATH is the caller's.
func (e *Env) postrider() (string, error) {
	dirs := e.Programs
	if dirs == nil {
		dirs = programDirs()
	}
	for _, dir := range dirs {
		path := filepath.Join(dir, "postrider")
		if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", failf(sysexits.OSErr, "the program postrider is not installed; looked in %v", dirs)
}

// become runs postrider in our place.
func (r *run) become(args ...string) error {
	path, err := r.env.postrider()
	if err != nil {
		return err
	}
	err = r.env.Exec(path, r.postriderArgs(args), r.env.Environ)
	return failf(sysexits.OSErr, "run %s: %v", path, err)
}

// start runs postrider in the background; wait waits for its end.
func (r *run) start(args ...string) (wait func() int, err error) {
	path, err := r.env.postrider()
	if err != nil {
		return nil, err
	}
	wait, err = r.env.Start(path, r.postriderArgs(args), r.env.Environ)
	if err != nil {
		return nil, failf(sysexits.OSErr, "start %s: %v", path, err)
	}
	return wait, nil
}

// capture runs postrider to its end and gives what it printed; what it complains
// of goes to our standard error.
func (r *run) capture(args ...string) (stdout []byte, err error) {
	path, err := r.env.postrider()
	if err != nil {
		return nil, err
	}
	stdout, status, err := r.env.Capture(path, r.postriderArgs(args), r.env.Environ)
	if err != nil {
		return nil, failf(sysexits.OSErr, "run %s: %v", path, err)
	}
	if status != sysexits.OK {
		return nil, &failure{status: status} // it has said why
	}
	return stdout, nil
}

func (r *run) postriderArgs(args []string) []string {
	argv := []string{"postrider"}
	if r.opts.config != nil {
		argv = append(argv, "-C", *r.opts.config)
	}
	return append(argv, args...)
}

func execProgram(program string, argv, environ []string) error {
	return syscall.Exec(program, argv, environ)
}

func captureProgram(program string, argv, environ []string) (stdout []byte, status int, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, 0, err
	}
	defer r.Close()
	p, err := os.StartProcess(program, argv, &os.ProcAttr{Env: environ, Files: []*os.File{nil, w, os.Stderr}})
	w.Close()
	if err != nil {
		return nil, 0, err
	}
	stdout, readErr := io.ReadAll(r)
	state, err := p.Wait()
	if err != nil {
		return nil, 0, err
	}
	return stdout, state.ExitCode(), readErr
}

// startProgram gives the child /dev/null for its three files and a session of its
// own, so that the caller's terminal, pipes and signals are not its concern.
func startProgram(program string, argv, environ []string) (wait func() int, err error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer null.Close()
	p, err := os.StartProcess(program, argv, &os.ProcAttr{
		Dir:   "/",
		Env:   environ,
		Files: []*os.File{null, null, null},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	return func() int {
		state, err := p.Wait()
		if err != nil {
			return -1
		}
		return state.ExitCode()
	}, nil
}
