package smtpd

import (
	"net"
	"syscall"
)

// spokeFirst reports whether bytes of the client are there already. It does not
// wait for any.
func spokeFirst(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		var peeked [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), peeked[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && n > 0
}
