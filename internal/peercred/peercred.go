// Package peercred asks the kernel which process made a connection to a unix
// socket (SO_PEERCRED, unix(7)). Nothing that the process says itself is believed.
package peercred

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Of gives uid, gid and pid of the process at the time it connected.
func Of(c *net.UnixConn) (*unix.Ucred, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("read peer of unix socket: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, credErr); err != nil {
		return nil, fmt.Errorf("read peer of unix socket: %w", err)
	}
	return cred, nil
}
