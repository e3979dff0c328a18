package delivery

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"postrider/delivery/smtp"
	"postrider/policy"
)

// The ports of submission and of relaying (RFC 6409 §3.1, RFC 8314 §3.3).
const (
	relayPort       = 25
	implicitTLSPort = 465
)

// splitNextHop parts a smarthost's address. Without a port it is a domain whose
// MX hosts are meant, or a literal.
func splitNextHop(s policy.Smarthost) (host string, port uint16, byMX bool) {
	if i := strings.LastIndexByte(s.Address, ':'); i >= 0 && !strings.HasSuffix(s.Address, "]") {
		if n, err := strconv.ParseUint(s.Address[i+1:], 10, 16); err == nil {
			return s.Address[:i], uint16(n), false
		}
	}
	port = relayPort
	if s.Implicit {
		port = implicitTLSPort
	}
	return s.Address, port, true
}

// readCredentials reads a smarthost's password. A file that others can read is
// refused: the password must be taken to be known.
func readCredentials(s policy.Smarthost) (*smtp.Credentials, error) {
	if s.Username == "" {
		return nil, nil
	}
	if err := CheckSecret(s.PasswordFile); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("read password of smarthost %s: %w", s.Address, err)
	}
	password, _, _ := strings.Cut(string(text), "\n")
	return &smtp.Credentials{Username: s.Username, Password: strings.TrimSuffix(password, "\r")}, nil
}

// CheckSecret refuses a file with a secret that its group or others may read.
func CheckSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("secret file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("secret file %s may be read by others (mode %#o); run: chmod 600 %s", path, mode, path)
	}
	return nil
}
