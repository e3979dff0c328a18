package local

import (
	"errors"
	"fmt"
	"os/user"
	"strings"
)

// User is one user of this host.
type User struct {
	Name string
	UID  int
	GID  int
	Home string
}

// lookupPasswd asks the password database.
func lookupPasswd(name string) (*User, error) {
	u, err := user.Lookup(name)
	var unknown user.UnknownUserError
	if errors.As(err, &unknown) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	found := &User{Name: u.Username, UID: number(u.Uid), GID: number(u.Gid), Home: u.HomeDir}
	if found.UID < 0 || found.GID < 0 {
		return nil, fmt.Errorf("uid %q, gid %q are not numbers", u.Uid, u.Gid)
	}
	return found, nil
}

// resolve finds the user that a local part means.
func (m *Mailboxes) resolve(local string) (*User, error) {
	for _, name := range candidates(local) {
		if !safeName(name) {
			continue
		}
		u, err := m.lookup(name)
		if err != nil {
			return nil, temporary("4.3.0", fmt.Sprintf("look up user %q: %v", name, err))
		}
		if u == nil {
			continue
		}
		if !safeName(u.Name) {
			return nil, temporary("4.3.5", fmt.Sprintf("user %q has a name that cannot be part of a path", name))
		}
		return u, nil
	}
	return nil, failed("5.1.1", fmt.Sprintf("unknown local user %q", local))
}

// candidates gives the names to look up, in order: as written first, since an
// account may well have capitals or a plus in its name.
func candidates(local string) []string {
	names := []string{local}
	add := func(name string) {
		if name != names[len(names)-1] {
			names = append(names, name)
		}
	}
	add(strings.ToLower(local))
	if base, _, extended := strings.Cut(local, "+"); extended && base != "" {
		add(base)
		add(strings.ToLower(base))
	}
	return names
}

// safeName refuses what would leave the directory when it is put into a path,
// and what no account is called.
func safeName(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' || name[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == ':' })
}
