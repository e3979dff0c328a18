package submission

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/iotest"
)

func TestScanPasswd(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\n+::::::\nbroken:x:7\ncarol:x:1002:1002:& Amper,Room 1,555:/:/bin/sh\n:x:9:9:Nobody:/:\nx:x:1003:1003::/:\n"
	tests := []struct {
		uid         int
		login, name string
	}{
		{0, "root", "root"},
		{1002, "carol", "Carol Amper"},
		{1003, "x", ""},
		{7, "7", ""},
		{9, "9", ""},
		{12345, "12345", ""},
	}
	for _, tt := range tests {
		if login, name, err := scanPasswd(strings.NewReader(passwd), tt.uid); err != nil || login != tt.login || name != tt.name {
			t.Errorf("uid %d: got %q, %q, %v; want %q, %q", tt.uid, login, name, err, tt.login, tt.name)
		}
	}
	if login, _, err := LookupUser(0); err != nil || login != "root" {
		t.Errorf("uid 0 is %q", login)
	}
}

// TestPasswdThatCannotBeRead: not to know a user is no reason to let it pass.
func TestPasswdThatCannotBeRead(t *testing.T) {
	broken := errors.New("broken")
	if _, _, err := scanPasswd(iotest.ErrReader(broken), 7); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

// TestImports keeps the sendmail command small and fast to start.
func TestImports(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("needs the go command")
	}
	list := exec.Command(goTool, "list", "-deps", ".")
	list.Stderr = os.Stderr
	deps, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for dep := range strings.Lines(string(deps)) {
		switch dep = strings.TrimSpace(dep); dep {
		case "net", "net/http", "crypto/tls", "os/user", "github.com/emersion/go-smtp", "github.com/miekg/dns":
			t.Errorf("imports %s", dep)
		}
	}
}
