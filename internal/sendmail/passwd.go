package sendmail

import (
	"bufio"
	"strconv"
	"strings"
)

// account is what passwd(5) says of a user.
type account struct {
	login string
	uid   int
	gecos string
}

// findAccount reads the passwd file until an account fits. The file is read
// directly: os/user would bring in the C library, and every NSS module of the
// host, into a program that has to start in no time.
func findAccount(path string, fits func(account) bool) (account, bool) {
	f, err := open(path)
	if err != nil {
		return account{}, false
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 5 || fields[0] == "" {
			continue
		}
		uid, err := strconv.Atoi(fields[2])
		if a := (account{fields[0], uid, fields[4]}); err == nil && fits(a) {
			return a, true
		}
	}
	return account{}, false
}

// callerAccount finds the account of a uid. In containers there may be none: the
// number stands for the login then.
func callerAccount(path string, uid int) account {
	a, ok := findAccount(path, func(a account) bool { return a.uid == uid })
	if !ok {
		return account{login: strconv.Itoa(uid), uid: uid}
	}
	return a
}
