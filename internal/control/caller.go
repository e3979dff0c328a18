package control

import (
	"context"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"postrider/internal/peercred"
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
	if conn, ok := c.(*net.UnixConn); ok {
		if cred, err := peercred.Of(conn); err == nil {
			who = caller{uid: int(cred.Uid), admin: isAdmin(cred)}
		}
	}
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) caller {
	if who, ok := ctx.Value(callerKey{}).(caller); ok {
		return who
	}
	return caller{uid: -1}
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
