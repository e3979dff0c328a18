package mailboxd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// closeTime is how long a helper may take to end.
const closeTime = 10 * time.Second

// self is the program that runs, even if its file was replaced or the directory
// it lies in is closed to the user that we become.
const self = "/proc/self/exe"

// Helper is a helper that this process started. It has no socket that others
// could connect to: each connection is a pair of which the helper is handed one
// end. It is safe for concurrent use, and ends when this process does.
type Helper struct {
	control *net.UnixConn
	process *exec.Cmd
	ended   chan error
}

// Start starts this program with args as a helper. The caller must Close it.
func Start(args []string, stderr io.Writer) (*Helper, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("start local delivery helper: %w", err)
	}
	defer theirs.Close()
	control, err := unixConn(ours)
	if err != nil {
		return nil, fmt.Errorf("start local delivery helper: %w", err)
	}
	h := &Helper{control: control, process: exec.Command(self, args...), ended: make(chan error, 1)}
	h.process.Stdin, h.process.Stderr = theirs, stderr
	// Signals from a terminal are for us; the helper ends after its last delivery.
	h.process.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := h.process.Start(); err != nil {
		control.Close()
		return nil, fmt.Errorf("start local delivery helper: %w", err)
	}
	go func() { h.ended <- h.process.Wait() }()
	return h, nil
}

// Dial gives a connection to the helper.
func (h *Helper) Dial(context.Context) (net.Conn, error) {
	ours, theirs, err := pair()
	if err != nil {
		return nil, fmt.Errorf("connect to local delivery helper: %w", err)
	}
	defer theirs.Close()
	conn, err := unixConn(ours)
	if err != nil {
		return nil, fmt.Errorf("connect to local delivery helper: %w", err)
	}
	if _, _, err := h.control.WriteMsgUnix([]byte{0}, unix.UnixRights(int(theirs.Fd())), nil); err != nil {
		conn.Close()
		return nil, fmt.Errorf("local delivery helper has ended: restart postrider (%w)", err)
	}
	return conn, nil
}

// Close lets the helper finish and waits for it, though not for ever: by then we
// may lack the right to kill it.
func (h *Helper) Close() error {
	h.control.Close()
	timer := time.NewTimer(closeTime)
	defer timer.Stop()
	select {
	case err := <-h.ended:
		if err != nil {
			return fmt.Errorf("local delivery helper: %w", err)
		}
		return nil
	case <-timer.C:
		return errors.New("local delivery helper is left to end its last delivery by itself")
	}
}

// pair makes two ends of a connection.
func pair() (ours, theirs *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "helper"), os.NewFile(uintptr(fds[1]), "helper"), nil
}

// unixConn makes a connection of a file and closes the file.
func unixConn(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	if c, ok := conn.(*net.UnixConn); ok {
		return c, nil
	}
	conn.Close()
	return nil, errors.New("not a unix socket")
}

// handed is a listener that is handed its connections.
type handed struct{ control *net.UnixConn }

// Accept gives io.EOF when whoever started us is gone. What is not a connection
// is passed over.
func (h *handed) Accept() (net.Conn, error) {
	for {
		// There is room for one descriptor: the kernel drops any others.
		rights := make([]byte, unix.CmsgSpace(4))
		_, n, _, _, err := h.control.ReadMsgUnix(make([]byte, 1), rights)
		if err != nil {
			return nil, err
		}
		if conn, err := received(rights[:n]); err == nil {
			return conn, nil
		}
	}
}

func received(rights []byte) (net.Conn, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil && len(fds) == 1 {
			return unixConn(os.NewFile(uintptr(fds[0]), "connection"))
		}
	}
	return nil, errMalformed
}

func (h *handed) Close() error   { return h.control.Close() }
func (h *handed) Addr() net.Addr { return h.control.LocalAddr() }
