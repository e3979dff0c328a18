package submission

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"

	"postrider/internal/message"
)

// lookupPasswd finds a uid in /etc/passwd. It stands in for os/user, which would
// bring in cgo, and with it every NSS module of the host, into each caller's
// process.
func lookupPasswd(uid int) (login, fullName string) {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return strconv.Itoa(uid), ""
	}
	defer f.Close()
	return scanPasswd(f, uid)
}

// scanPasswd reads passwd(5) lines. A uid without entry has its number for a login.
func scanPasswd(r io.Reader, uid int) (login, fullName string) {
	number := strconv.Itoa(uid)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) >= 5 && fields[2] == number && fields[0] != "" {
			return fields[0], message.FullName(fields[4], fields[0])
		}
	}
	return number, ""
}
