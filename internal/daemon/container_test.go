package daemon_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStaysRoot: where the spool is root's own, the daemon keeps root's rights, and
// a helper does what takes a user's.
func TestStaysRoot(t *testing.T) {
	h := newHost(t)
	_, uid, gid := ids(t, recipient)
	boxes := h.dir + "/boxes"
	err := errors.Join(os.Mkdir(boxes, 0o755), os.Chown(boxes, uid, gid), os.Chown(h.dir+"/spool", 0, 0), os.Chown(h.dir+"/spool/maildrop", 0, 0),
		os.WriteFile(h.config, []byte(strings.Replace(read(t, h.config), "mbox:"+h.dir+"/mail/{user}", "maildir:"+boxes+"/{user}", 1)), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command(h.dir+"/bin/postrider", "-C", h.config, "daemon")
	daemon.Stderr = h.log
	stop := h.start(t, daemon)
	helpers := children(daemon.Process.Pid)
	if len(helpers) != 1 || status(daemon.Process.Pid, "Uid") != "0 0 0 0" {
		t.Fatalf("uid %s, children %v", status(daemon.Process.Pid, "Uid"), helpers)
	}
	h.send(t, "first")
	var message string
	until(t, h, "the message is delivered", func() bool {
		names, _ := filepath.Glob(boxes + "/" + recipient + "/new/*")
		if len(names) == 1 {
			message = names[0]
		}
		return message != ""
	})
	if !strings.Contains(read(t, message), "Subject: first\n") {
		t.Errorf("%s", read(t, message))
	}
	if fi, err := os.Stat(message); err != nil || int(fi.Sys().(*syscall.Stat_t).Uid) != uid {
		t.Errorf("%v, %v", fi, err)
	}
	stop()
	if got := status(helpers[0], "Name"); got != "" {
		t.Errorf("the helper is still there: %s", got)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
