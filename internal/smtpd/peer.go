package smtpd

import (
	"net"
	"net/netip"
	"os"
	"strconv"

	"postrider/internal/peercred"
	"postrider/queue"
)

// peer is what is known of a client before it says anything.
type peer struct {
	origin queue.Origin
	// local is a process of this host on the submission socket: its line ends may
	// be bare and its greeting may be missing.
	local bool
	// loopback is a network client on this host.
	loopback bool
	// trusted may send mail to anywhere without a login.
	trusted bool
	service Service
	// tls says that the connection is encrypted, and cipher how.
	tls    bool
	cipher string
	// key is what connections are counted by.
	key string
}

// exempt reports whether the peer is free of the limit for one client or user.
func (p *peer) exempt() bool {
	return p.loopback || p.local && (p.origin.UID == 0 || p.origin.UID == os.Geteuid())
}

// stranger reports whether the peer is a host that may not relay as it is.
func (p *peer) stranger() bool { return !p.local && !p.trusted }

// String names the peer in logs.
func (p *peer) String() string {
	if p.local {
		return "uid " + strconv.Itoa(p.origin.UID)
	}
	return p.origin.Client
}

// socketPeer asks the kernel who connected (SO_PEERCRED).
func socketPeer(c *net.UnixConn, commandName func(int) string) (*peer, error) {
	cred, err := peercred.Of(c)
	if err != nil {
		return nil, err
	}
	return &peer{
		local: true,
		key:   strconv.FormatUint(uint64(cred.Uid), 10),
		origin: queue.Origin{Via: queue.ViaSocket, UID: int(cred.Uid), PID: int(cred.Pid),
			Command: commandName(int(cred.Pid))},
	}, nil
}

// networkPeer describes a TCP client.
func networkPeer(c net.Conn, service Service) *peer {
	client := c.RemoteAddr().String()
	p := &peer{key: client, service: service, origin: queue.Origin{Via: queue.ViaSMTP, UID: queue.NoUID, Client: client}}
	addr, err := netip.ParseAddrPort(client)
	if err != nil {
		return p
	}
	ip := addr.Addr().Unmap().WithZone("")
	p.loopback = ip.IsLoopback()
	p.key = ip.String()
	if prefix, err := ip.Prefix(64); err == nil && ip.Is6() {
		p.key = prefix.String()
	}
	return p
}
