package sendmail

import (
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CleanProcess undoes what a careless caller left us with: a umask that would make
// files unreadable to their owner, and open files. Files 0, 1 and 2, if they were
// closed, the runtime has opened on /dev/null before main, so that no file of the
// spool takes their place.
func CleanProcess() {
	unix.Umask(0o077)
	// What the runtime has opened lies before the first free number, for it is
	// given the lowest one.
	fd := 3
	for closeInherited(fd) {
		fd++
	}
	if err := unix.CloseRange(uint(fd), ^uint(0)>>33, 0); err != nil {
		closeListed()
	}
}

// closeInherited closes a file that is not ours and reports whether there was one.
// Those that the Go runtime opened are told from inherited ones by their
// close-on-exec mark, which those cannot have.
func closeInherited(fd int) bool {
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err == nil && flags&unix.FD_CLOEXEC == 0 {
		unix.Close(fd)
	}
	return err == nil
}

// closeListed does without close_range, which is as old as Linux 5.9.
func closeListed() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			closeInherited(fd)
		}
	}
}

// setProcessName renames the process as the kernel knows it, which is where the
// daemon looks who calls. Without /proc it keeps its name.
func setProcessName(name string) {
	fd, err := unix.Open("/proc/self/comm", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	// It is for the log only.
	_, _ = unix.Write(fd, []byte(name))
}

// open opens a file for reading without the poller, which os.Open would get ready
// for it in vain: nobody waits for a regular file.
func open(path string) (*os.File, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), path), nil
		case !errors.Is(err, unix.EINTR):
			return nil, &os.PathError{Op: "open", Path: path, Err: err}
		}
	}
}
