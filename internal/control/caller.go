package control

import (
	"context"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// caller is who the kernel says is at the other end of a connection.
type caller struct {
	uid   int
	admin bool
}

type callerKey struct{}

// identify reads the peer's credentials. A connection that has none gets no
// rights at all.
func identify(ctx context.Context, c net.Conn) context.Context {
	who := caller{uid: -1}
	if cred, err := peerCredentials(c); err == nil {
		who = caller{uid: int(cred.Uid), admin: isAdmin(cred)}
	}
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) caller {
	if who, ok := ctx.Value(callerKey{}).(caller); ok {
		return who
	}
	return caller{uid: -1}
}

func peerCredentials(c net.Conn) (cred *unix.Ucred, err error) {
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, err
	}
	if e := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); e != nil {
		return nil, e
	}
	return cred, err
}

// isAdmin: root, the daemon's own user, and members of the daemon's group unless
// that group is root's or shared by everybody.
func isAdmin(cred *unix.Ucred) bool {
	if cred.Uid == 0 || int(cred.Uid) == os.Geteuid() {
		return true
	}
	if os.Getegid() == 0 {
		return false
	}
	if int(cred.Gid) == os.Getegid() {
		return true
	}
	u, err := user.LookupId(strconv.Itoa(int(cred.Uid)))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, strconv.Itoa(os.Getegid()))
}
