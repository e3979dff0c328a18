package smtpd

import (
	"net"
	"os"
	"testing"

	"postrider/queue"
)

type addressedConn struct {
	net.Conn
	ip string
}

func (c addressedConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.ip), Port: 7} }

// TestClientsByAddress: an IPv6 site has as many addresses as it likes.
func TestClientsByAddress(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "::ffff:192.0.2.1": "192.0.2.1",
		"2001:db8::1": "2001:db8::/64", "2001:db8::ffff:2": "2001:db8::/64", "2001:db8:0:1::1": "2001:db8:0:1::/64",
	} {
		if p := networkPeer(addressedConn{ip: ip}, Relay); p.key != want || p.exempt() {
			t.Errorf("%s is counted as %s (exempt: %v), want %s", ip, p.key, p.exempt(), want)
		}
	}
	if !networkPeer(addressedConn{ip: "::1"}, Relay).exempt() {
		t.Error("loopback is limited")
	}
}

func TestLimitOfOneUser(t *testing.T) {
	user := func(uid int) *peer { return &peer{local: true, key: string(rune(uid)), origin: queue.Origin{UID: uid}} }
	a := &admission{max: 6, perClient: 2, byClient: map[string]int{}}
	for i, step := range []struct {
		uid     int
		refused bool
	}{{1001, false}, {1001, false}, {1001, true}, {1002, false}, {0, false}, {0, false}, {os.Geteuid(), false}, {1003, true}} {
		if got := a.enter(user(step.uid)); (got != "") != step.refused {
			t.Errorf("step %d, uid %d: %q", i, step.uid, got)
		}
	}
	a.leave(user(1001))
	if got := a.enter(user(1001)); got != "" {
		t.Errorf("after one has left: %q", got)
	}
}

// TestRoomForOwnHosts: strangers cannot take all connections.
func TestRoomForOwnHosts(t *testing.T) {
	a := &admission{max: 10, byClient: map[string]int{}}
	var strangers []*peer
	for {
		p := &peer{key: string(rune('a' + len(strangers)))}
		if a.enter(p) != "" {
			break
		}
		strangers = append(strangers, p)
	}
	if len(strangers) != 8 {
		t.Fatalf("%d of 10 connections are strangers'", len(strangers))
	}
	for i, full := range []bool{false, false, true} {
		if got := a.enter(&peer{key: "own", trusted: true}); (got != "") != full {
			t.Errorf("own connection %d: %q", i, got)
		}
	}
	a.leave(strangers[0])
	if got := a.enter(strangers[0]); got != "" {
		t.Errorf("when a stranger has left: %q", got)
	}
}
