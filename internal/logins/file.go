package logins

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
)

const (
	scheme = "SCRAM-SHA-256"
	// RFC 7677 §4 asks for 4096 at least. The upper bound keeps a line from taking
	// the processor for minutes at each login.
	minIterations, maxIterations = 4096, 10_000_000

	keySize  = 32 // SHA-256
	minSalt  = 8
	maxField = 1024 // bytes of a salt
	maxName  = 255
)

// line is one of the file: a login, or a comment if the name is empty.
type line struct {
	name        string
	credentials scram.StoredCredentials
	text        string
}

// parse reads a file. An error names the line and never quotes it.
func parse(text []byte) ([]line, error) {
	var lines []line
	seen := map[string]bool{}
	for number := 1; len(text) > 0; number++ {
		var raw []byte
		raw, text, _ = bytes.Cut(text, []byte("\n"))
		l, err := parseLine(strings.TrimSuffix(string(raw), "\r"))
		if err == nil && seen[l.name] {
			err = fmt.Errorf("the login %s is there twice", l.name)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if l.name != "" {
			seen[l.name] = true
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func parseLine(s string) (line, error) {
	if strings.TrimSpace(s) == "" || strings.HasPrefix(s, "#") {
		return line{text: s}, nil
	}
	name, hash, ok := strings.Cut(s, ":")
	if !ok {
		return line{}, fmt.Errorf("is neither a comment nor name:%s$iterations:salt$StoredKey:ServerKey; mend or remove it", scheme)
	}
	if err := CheckName(name); err != nil {
		return line{}, err
	}
	c, err := parseHash(strings.TrimRight(hash, " \t"))
	if err != nil {
		return line{}, fmt.Errorf("login %s: %w; set its password again", name, err)
	}
	return line{name: name, credentials: c, text: s}, nil
}

// parseHash reads what follows the name.
func parseHash(s string) (c scram.StoredCredentials, err error) {
	parts := strings.Split(s, "$")
	if len(parts) != 3 || parts[0] != scheme {
		return c, fmt.Errorf("the hash is not of the form %s$iterations:salt$StoredKey:ServerKey", scheme)
	}
	iterations, salt, _ := strings.Cut(parts[1], ":")
	n, err := strconv.ParseUint(iterations, 10, 31)
	if err != nil || n < minIterations || n > maxIterations {
		return c, fmt.Errorf("the number of iterations is not between %d and %d", minIterations, maxIterations)
	}
	rawSalt, err := base64.StdEncoding.DecodeString(salt)
	if err != nil || len(rawSalt) < minSalt || len(rawSalt) > maxField {
		return c, fmt.Errorf("the salt is not base64 of at least %d bytes", minSalt)
	}
	stored, server, _ := strings.Cut(parts[2], ":")
	c.KeyFactors = scram.KeyFactors{Salt: string(rawSalt), Iters: int(n)}
	if c.StoredKey, err = base64.StdEncoding.DecodeString(stored); err != nil || len(c.StoredKey) != keySize {
		return c, fmt.Errorf("the StoredKey is not base64 of %d bytes", keySize)
	}
	if c.ServerKey, err = base64.StdEncoding.DecodeString(server); err != nil || len(c.ServerKey) != keySize {
		return c, fmt.Errorf("the ServerKey is not base64 of %d bytes", keySize)
	}
	return c, nil
}

// format is the inverse of parseLine.
func format(name string, c scram.StoredCredentials) string {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s:%s$%d:%s$%s:%s", name, scheme, c.Iters, b64([]byte(c.Salt)), b64(c.StoredKey), b64(c.ServerKey))
}

// CheckName says whether a login may have the name.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the name of a login is empty")
	case len(name) > maxName:
		return fmt.Errorf("the name of a login has more than %d bytes", maxName)
	case strings.HasPrefix(name, "#"), strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' }) >= 0:
		return fmt.Errorf("%q cannot be the name of a login: use ASCII letters, digits and signs other than a colon, no blanks, and no # in front", name)
	}
	return nil
}
