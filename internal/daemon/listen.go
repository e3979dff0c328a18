package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"postrider/internal/config"
	"postrider/internal/smtpd"
)

// listeners are the doors of the daemon.
type listeners struct {
	given           map[string][]net.Listener
	submit, control *net.UnixListener
	network         []door
}

// door is a TCP listener with what it offers.
type door struct {
	net.Listener
	service smtpd.Service
}

// takeOver takes over what systemd hands us, by name: "submit", "control", and for
// TCP "smtp", "submission" and "submissions". What it does not hand over is opened
// later.
func takeOver() (*listeners, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("take over sockets from the service manager: %w", err)
	}
	return &listeners{given: given}, nil
}

// open opens all that is not open yet.
func (l *listeners) open(ctx context.Context, c *config.Config) (err error) {
	if l.submit, err = unixListener(l.given["submit"], c.SubmitSocket()); err != nil {
		return err
	}
	if l.control, err = unixListener(l.given["control"], c.ControlSocket()); err != nil {
		return err
	}
	return l.openTCP(ctx, c)
}

// openTCP opens the network's doors, which may take root's rights. An entry of
// submission.listen that a socket handed over stands for is not opened: one with
// its port, or one with the name of its service.
func (l *listeners) openTCP(ctx context.Context, c *config.Config) error {
	if len(l.network) > 0 {
		return nil // before root's rights were left
	}
	entries, err := entriesOf(c)
	if err != nil {
		return err
	}
	l.network = givenDoors(l.given, entries)
	given := l.network
	for _, e := range entries {
		if slices.ContainsFunc(given, func(d door) bool { return d.service == e.service || d.port() == e.address.Port() }) {
			continue
		}
		var lc net.ListenConfig
		tcp, err := lc.Listen(ctx, e.network(), e.address.String())
		if err != nil {
			return fmt.Errorf("submission.listen %q: %w%s", e.address, err, listenRemedy(err))
		}
		l.network = append(l.network, door{tcp, e.service})
	}
	return checkServices(c, l.network)
}

// entry is one of submission.listen.
type entry struct {
	address netip.AddrPort
	service smtpd.Service
}

// network keeps "0.0.0.0" and "[::]" apart, which else would both stand for all
// addresses of both families: more than was asked for, and no room for the other.
func (e entry) network() string {
	if e.address.Addr().Unmap().Is4() {
		return "tcp4"
	}
	return "tcp6"
}

func entriesOf(c *config.Config) ([]entry, error) {
	var list []entry
	for _, text := range c.Submission.Listen {
		parsed, err := config.ParseListener(text)
		if err != nil {
			return nil, fmt.Errorf("submission.listen: %w", err)
		}
		e := entry{address: parsed.Address, service: smtpd.Relay}
		switch parsed.Service {
		case config.ServeSubmission:
			e.service = smtpd.Submission
		case config.ServeSubmissions:
			e.service = smtpd.Submissions
		}
		list = append(list, e)
	}
	return list, nil
}

// givenDoors are the TCP sockets that were handed over. What a socket offers says
// the entry with its port; if there is none, its name.
func givenDoors(given map[string][]net.Listener, entries []entry) []door {
	var doors []door
	for _, named := range [...]struct {
		name    string
		service smtpd.Service
	}{{"smtp", smtpd.Relay}, {"submission", smtpd.Submission}, {"submissions", smtpd.Submissions}} {
		for _, listener := range given[named.name] {
			d := door{listener, named.service}
			if i := slices.IndexFunc(entries, func(e entry) bool { return e.address.Port() == d.port() }); i >= 0 {
				d.service = entries[i].service
			}
			doors = append(doors, d)
		}
	}
	return doors
}

// port is zero for what is no TCP socket.
func (d door) port() uint16 {
	if a, ok := d.Addr().(*net.TCPAddr); ok {
		return a.AddrPort().Port()
	}
	return 0
}

// checkServices refuses a submission service without a certificate, which a socket
// can ask for that the configuration does not know.
func checkServices(c *config.Config, doors []door) error {
	for _, d := range doors {
		if d.service != smtpd.Relay && c.Submission.CertificateFile == "" {
			return &ConfigError{fmt.Errorf("the service manager handed over %s for submission, which needs TLS; set submission.certificate_file and submission.key_file", d.Addr())}
		}
	}
	return nil
}

func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another mail program has the port: stop it, or set submission.listen = []"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "; this host does not have the address (yet): set submission.listen to one that it has, or to 0.0.0.0 or [::] for all"
	case errors.Is(err, fs.ErrPermission):
		return "; ports below 1024 need CAP_NET_BIND_SERVICE: use the service unit, or set submission.listen"
	}
	return ""
}

func runDirRemedy(err error) string {
	if errors.Is(err, fs.ErrPermission) {
		return "; run_dir must belong to the user that owns the spool: chown it, or remove it"
	}
	return ""
}

// unixListener uses the socket given or makes one that everybody may connect to:
// who connects is asked of the kernel.
func unixListener(given []net.Listener, path string) (*net.UnixListener, error) {
	if len(given) > 0 {
		l, ok := given[0].(*net.UnixListener)
		if !ok {
			return nil, fmt.Errorf("the service manager handed over a socket for %s that is not a unix socket; check the unit's ListenStream", path)
		}
		return l, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("run_dir: %w", err)
	}
	// The spool's lock says that no other daemon runs: what is there is a leftover.
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove leftover socket: %w", err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w%s", path, err, runDirRemedy(err))
	}
	if err := os.Chmod(path, 0o666); err != nil {
		l.Close()
		return nil, fmt.Errorf("open %s to all users: %w", path, err)
	}
	return l, nil
}

// addresses are those that mail loops would come back to.
func (l *listeners) addresses() []netip.AddrPort {
	var list []netip.AddrPort
	for _, s := range l.network {
		if a, ok := s.Addr().(*net.TCPAddr); ok {
			list = append(list, a.AddrPort())
		}
	}
	return list
}

func (l *listeners) close() {
	for _, s := range l.network {
		s.Close()
	}
	if l.submit != nil {
		l.submit.Close()
	}
	if l.control != nil {
		l.control.Close()
	}
}
