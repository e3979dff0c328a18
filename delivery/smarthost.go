package delivery

import (
	"fmt"
	"os"
	"strings"

	"postrider/delivery/smtp"
	"postrider/policy"
)

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
