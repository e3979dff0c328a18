package sendmail

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// CloseInherited closes the files that a careless caller left open for us. Those
// that the Go runtime opened are told from them by their close-on-exec mark: an
// inherited file cannot have it. Closed files 0, 1 and 2 the runtime has opened on
// /dev/null before main, so that no file of the spool takes their place.
func CloseInherited() {
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
