package submission

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"postrider/internal/message"
)

// lookupUser finds login and full name of a uid.
func (in *Intake) lookupUser(uid int) (login, fullName string, err error) {
	if in.o.LookupUser != nil {
		login, fullName = in.o.LookupUser(uid)
		return login, fullName, nil
	}
	return LookupUser(uid)
}

// LookupUser finds a uid in /etc/passwd; one without an entry has its number for a
// login. It stands in for os/user, which would bring in cgo, and with it every NSS
// module of the host, into each caller's process.
func LookupUser(uid int) (login, fullName string, err error) {
	f, err := os.Open("/etc/passwd")
	if errors.Is(err, fs.ErrNotExist) {
		return strconv.Itoa(uid), "", nil
	}
	if err != nil {
		return strconv.Itoa(uid), "", fmt.Errorf("look up uid %d: %w", uid, err)
	}
	defer f.Close()
	return scanPasswd(f, uid)
}

// scanPasswd reads passwd(5) lines. A uid without entry has its number for a login.
func scanPasswd(r io.Reader, uid int) (login, fullName string, err error) {
	number := strconv.Itoa(uid)
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) >= 5 && fields[2] == number && fields[0] != "" {
			return fields[0], message.FullName(fields[4], fields[0]), nil
		}
	}
	if err := lines.Err(); err != nil {
		return number, "", fmt.Errorf("look up uid %d: %w", uid, err)
	}
	return number, "", nil
}
