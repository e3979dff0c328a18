package peercred_test

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"postrider/internal/peercred"
)

func TestOfIsUs(t *testing.T) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "s"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	server, err := l.AcceptUnix()
	if err != nil {
		t.Fatal(err)
	}
	cred, err := peercred.Of(server)
	if err != nil || int(cred.Uid) != os.Getuid() || int(cred.Gid) != os.Getgid() || int(cred.Pid) != os.Getpid() {
		t.Errorf("%+v, %v", cred, err)
	}
	server.Close()
	if _, err := peercred.Of(server); err == nil {
		t.Error("a closed connection has a peer")
	}
}
