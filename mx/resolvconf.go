package mx

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// config is which servers to ask, and how.
type config struct {
	servers []netip.AddrPort
	// trustAD: all servers' AD bit counts (resolv.conf(5), "options trust-ad").
	trustAD bool
	// timeout and rounds are zero where the file does not say.
	timeout time.Duration
	rounds  int
}

// Limits resolv.conf(5) sets; the number of servers is glibc's MAXNS.
const (
	maxServers     = 3
	maxConfTimeout = 30 * time.Second
	maxConfRounds  = 5
	// maxConfSize is far above any real file's size.
	maxConfSize = 1 << 20
)

// stamp tells whether a file has changed.
type stamp struct {
	modified time.Time
	size     int64
}

// readResolvConf reads the file. A missing one means, as for libc, a server on this
// host.
func readResolvConf(path string) (config, stamp, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return parseResolvConf(strings.NewReader("")), stamp{}, nil
	}
	if err != nil {
		return config{}, stamp{}, fmt.Errorf("read resolver configuration: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return config{}, stamp{}, fmt.Errorf("read resolver configuration: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfSize))
	if err != nil {
		return config{}, stamp{}, fmt.Errorf("read resolver configuration %q: %w", path, err)
	}
	return parseResolvConf(strings.NewReader(string(text))), stamp{info.ModTime(), info.Size()}, nil
}

// parseResolvConf reads what resolv.conf(5) describes, passing over what it does not
// understand, as libc does.
func parseResolvConf(in io.Reader) config {
	var c config
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			addr, err := netip.ParseAddr(fields[1])
			if err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, netip.AddrPortFrom(addr, 53))
			}
		case "options":
			for _, option := range fields[1:] {
				c.setOption(option)
			}
		}
	}
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)}
	}
	return c
}

func (c *config) setOption(option string) {
	name, value, _ := strings.Cut(option, ":")
	n, err := strconv.Atoi(value)
	switch {
	case option == "trust-ad":
		c.trustAD = true
	case err != nil || n <= 0:
	case name == "timeout":
		c.timeout = min(time.Duration(min(n, 60))*time.Second, maxConfTimeout)
	case name == "attempts":
		c.rounds = min(n, maxConfRounds)
	}
}
