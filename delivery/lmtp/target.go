package lmtp

import (
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
)

// maxSocketPath is the longest path of a unix socket (unix(7)).
const maxSocketPath = 107

// Target is where a mail store listens.
type Target struct {
	// Network is "unix" or "tcp".
	Network string
	// Address is the path of a socket, or host and port.
	Address string
}

// ParseTarget reads "unix:/path" or "host:port".
func ParseTarget(s string) (Target, error) {
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		switch {
		case !filepath.IsAbs(path):
			return Target{}, fmt.Errorf("mail store %q: the path after unix: must be absolute", s)
		case len(path) > maxSocketPath:
			return Target{}, fmt.Errorf("mail store %q: the path of a socket may have %d bytes at most", s, maxSocketPath)
		}
		return Target{Network: "unix", Address: filepath.Clean(path)}, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return Target{}, fmt.Errorf("mail store %q is neither unix:/path nor host:port", s)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return Target{}, fmt.Errorf("mail store %q: %q is not a port", s, port)
	}
	return Target{Network: "tcp", Address: net.JoinHostPort(strings.TrimPrefix(host, "IPv6:"), port)}, nil
}

// String gives the target as ParseTarget reads it.
func (t Target) String() string {
	if t.Network == "unix" {
		return "unix:" + t.Address
	}
	return t.Address
}
