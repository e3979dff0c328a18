package sendmail

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CleanProcess undoes what a careless caller left us with: a umask that would make
// files unreadable to their owner, and open files. Those that the Go runtime opened
// are told from inherited ones by their close-on-exec mark, which those cannot
// have. Files 0, 1 and 2, if they were closed, the runtime has opened on /dev/null
// before main, so that no file of the spool takes their place.
func CleanProcess() {
	unix.Umask(0o077)
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
}
