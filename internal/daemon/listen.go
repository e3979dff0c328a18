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
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"postrider/internal/config"
)

// listeners are the doors of the daemon.
type listeners struct {
	given           map[string][]net.Listener
	submit, control *net.UnixListener
	smtp            []net.Listener
}

// takeOver takes over what systemd hands us, by name: "submit", "control", "smtp".
// What it does not hand over is opened later.
func takeOver() (*listeners, error) {
	given, err := activation.ListenersWithNames()
	if err != nil {
		return nil, fmt.Errorf("take over sockets from the service manager: %w", err)
	}
	return &listeners{given: given, smtp: given["smtp"]}, nil
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

// openTCP opens the network's doors, which may take root's rights.
func (l *listeners) openTCP(ctx context.Context, c *config.Config) error {
	if len(l.smtp) > 0 {
		return nil
	}
	for _, address := range c.Submission.Listen {
		var lc net.ListenConfig
		tcp, err := lc.Listen(ctx, "tcp", address)
		if err != nil {
			return fmt.Errorf("submission.listen %q: %w%s", address, err, listenRemedy(err))
		}
		l.smtp = append(l.smtp, tcp)
	}
	return nil
}

func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "; another mail program has the port: stop it, or set submission.listen = []"
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
	for _, s := range l.smtp {
		if a, ok := s.Addr().(*net.TCPAddr); ok {
			list = append(list, a.AddrPort())
		}
	}
	return list
}

func (l *listeners) close() {
	for _, s := range l.smtp {
		s.Close()
	}
	if l.submit != nil {
		l.submit.Close()
	}
	if l.control != nil {
		l.control.Close()
	}
}
