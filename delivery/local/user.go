package local

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"postrider/queue"
)

// User is one user of this host.
type User struct {
	Name string
	UID  int
	GID  int
	Home string
	// Shell is the login shell; /bin/sh if empty.
	Shell string
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
	found := &User{Name: u.Username, UID: number(u.Uid), GID: number(u.Gid), Home: u.HomeDir, Shell: shellOf(u.Username)}
	if found.UID < 0 || found.GID < 0 {
		return nil, fmt.Errorf("uid %q, gid %q are not numbers", u.Uid, u.Gid)
	}
	return found, nil
}

// shellOf reads the one field that package user leaves out; empty for users who
// are not in the file.
func shellOf(name string) string {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Split(lines.Text(), ":"); len(fields) == 7 && fields[0] == name {
			return fields[6]
		}
	}
	return ""
}

// resolve finds the user that a local part means, and the extension.
func (m *Mailboxes) resolve(local string) (*User, string, error) {
	for _, name := range m.candidates(local) {
		u, err := m.login(name)
		var r *refusal
		if errors.As(err, &r) && r.Result == queue.Failed {
			continue
		}
		if err != nil {
			return nil, "", err
		}
		return u, m.extensionOf(local, u), nil
	}
	return nil, "", unknownUser(local)
}

// extensionOf is what the local part has beyond the user's name.
func (m *Mailboxes) extensionOf(local string, u *User) string {
	if m.delimiter == "" || strings.EqualFold(local, u.Name) {
		return ""
	}
	_, extension, _ := strings.Cut(local, m.delimiter)
	return extension
}

// candidates gives the names to look up, in order: as written first, since an
// account may well have capitals or a plus in its name.
func (m *Mailboxes) candidates(local string) []string {
	names := []string{local}
	add := func(name string) {
		if name != names[len(names)-1] {
			names = append(names, name)
		}
	}
	add(strings.ToLower(local))
	if m.delimiter == "" {
		return names
	}
	if base, _, extended := strings.Cut(local, m.delimiter); extended && base != "" {
		add(base)
		add(strings.ToLower(base))
	}
	return names
}

// login finds a user by login name.
func (m *Mailboxes) login(name string) (*User, error) {
	if !safeName(name) {
		return nil, unknownUser(name)
	}
	u, err := m.lookup(name)
	if err != nil {
		return nil, temporary("4.3.0", fmt.Sprintf("look up user %q: %v", name, err))
	}
	if u == nil {
		return nil, unknownUser(name)
	}
	if !safeName(u.Name) {
		return nil, temporary("4.3.5", fmt.Sprintf("user %q has a name that cannot be part of a path", name))
	}
	return u, nil
}

func unknownUser(name string) error {
	return failed("5.1.1", fmt.Sprintf("unknown local user %q", name))
}

// actor finds the user who writes a file, runs a command or reads a list: the
// default user if no name is given, and never root.
func (m *Mailboxes) actor(name string) (*User, error) {
	if name != "" {
		u, err := m.login(name)
		if err == nil && u.UID == 0 {
			err = failed("5.7.1", fmt.Sprintf("files, commands and lists of user %s are refused: nothing is done as root", name))
		}
		return u, err
	}
	u, err := m.login(m.defaultUser)
	var r *refusal
	if errors.As(err, &r) && r.Result == queue.Failed {
		err = temporary("4.3.5", fmt.Sprintf("there is no user %q to write files and run commands as: set local.default_user", m.defaultUser))
	}
	if err == nil && u.UID == 0 {
		err = temporary("4.3.5", fmt.Sprintf("files and commands are refused while local.default_user is %q: it must not be root", m.defaultUser))
	}
	return u, err
}

// safeName refuses what would leave the directory when it is put into a path,
// and what no account is called.
func safeName(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' || name[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == ':' })
}
