package e2e

import (
	"bufio"
	"io"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"postrider/internal/smtptest"
)

// TestDaemonDown: whoever submits while no daemon runs gets exit 0, and what was
// taken is delivered once there is one.
func TestDaemonDown(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	h.proc.stop()
	users := map[int]string{me: "spool"}
	if me == 0 {
		users = map[int]string{0: "spool", daemon: "spool", alice: "maildrop", bob: "maildrop"}
	}
	for uid, way := range users {
		r := h.sendmail(uid, mail("from "+way), "-v", "to@good.test")
		if r.code != 0 || r.stderr != "" {
			t.Errorf("uid %d: exit %d, %q", uid, r.code, r.stderr)
		}
		if left := strings.Contains(r.stdout, "left for the daemon"); left != (way == "maildrop") {
			t.Errorf("uid %d: said %q, want it to go by %s", uid, r.stdout, way)
		}
	}
	h.start()
	until(t, "all is delivered", func() bool { return sink.Count() >= len(users) })
	h.emptied()
	if sink.Count() != len(users) {
		t.Errorf("%d messages arrived, want %d", sink.Count(), len(users))
	}
	for uid := range users {
		if copies(sink, "userid "+strconv.Itoa(uid)+")") != 1 {
			t.Errorf("no message says that uid %d sent it", uid)
		}
	}
	h.maildropIsEmpty()
}

// TestNeverStarted: on a host whose daemon never ran there is no maildrop, and no
// user but root can queue mail; nobody is told otherwise.
func TestNeverStarted(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := newHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	r := h.sendmail(alice, mail("lost"), "to@good.test")
	if r.code != 75 && r.code != 77 {
		t.Errorf("exit %d, want 75 or 77", r.code)
	}
	oneLine(t, "sendmail", r.stderr, "maildrop")
	h.send(mail("first"), "to@good.test")
	h.start()
	h.emptied()
	if copies(sink, "first") != 1 || copies(sink, "lost") != 0 {
		t.Errorf("arrived: %d of the one taken, %d of the one not taken", copies(sink, "first"), copies(sink, "lost"))
	}
}

// maildropIsEmpty waits until nothing is left in the maildrop.
func (h *host) maildropIsEmpty() {
	h.t.Helper()
	until(h.t, "the maildrop is empty", func() bool { return len(h.maildrop()) == 0 })
}

func (h *host) maildrop() []string {
	h.t.Helper()
	files, err := filepath.Glob(h.path("spool/maildrop/*"))
	if err != nil {
		h.t.Fatal(err)
	}
	return files
}

// TestMaildropWhileRunning: a running daemon takes what is left in the maildrop by
// programs that cannot reach its socket.
func TestMaildropWhileRunning(t *testing.T) {
	t.Parallel()
	user := me
	if me == 0 {
		user = alice
	}
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	for range 3 {
		cmd := h.command(user, "sendmail", "-i", "to@good.test")
		cmd.Env = append(cmd.Env, "POSTRIDER_RUN_DIR="+h.path("nowhere"))
		cmd.Stdin = strings.NewReader(mail("dropped"))
		if r := run(t, cmd); r.code != 0 {
			t.Fatalf("exit %d: %s", r.code, r.stderr)
		}
	}
	until(t, "all is delivered", func() bool { return copies(sink, "dropped") == 3 })
	h.maildropIsEmpty()
	h.emptied()
}

// TestLostReply: the daemon's word that a message is durable does not reach
// sendmail, which hands it in by another way; there is one copy all the same.
func TestLostReply(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	proxy := swallowReply(t, h)
	cmd := h.command(me, "sendmail", "-i", "to@good.test")
	cmd.Env = append(cmd.Env, "POSTRIDER_RUN_DIR="+proxy)
	cmd.Stdin = strings.NewReader(mail("once"))
	if r := run(t, cmd); r.code != 0 || r.stderr != "" {
		t.Fatalf("exit %d: %s", r.code, r.stderr)
	}
	h.proc.logged("handed in before")
	h.maildropIsEmpty()
	h.emptied()
	if n := copies(sink, "once"); n != 1 {
		t.Errorf("%d copies arrived, want one", n)
	}
	h.proc.logged("via=socket") // else the test tests nothing
}

// TestDaemonDiesInTheMiddle: a connection that breaks at any point of a submission,
// as when the daemon dies, costs nothing but another way in.
func TestDaemonDiesInTheMiddle(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	h.proc.stop()
	large := strings.Repeat(strings.Repeat("0123456789", 7)+"\n", 4<<20/71)
	points := []string{"", "EHLO", "MAIL", "RCPT", "DATA", "The text of"}
	for i, point := range points {
		dir := h.path("dying" + strconv.Itoa(i))
		dyingDaemon(t, dir, point)
		users := []int{me}
		if me == 0 {
			users = []int{0, alice}
		}
		for _, uid := range users {
			cmd := h.command(uid, "sendmail", "-i", "to@good.test")
			cmd.Env = append(cmd.Env, "POSTRIDER_RUN_DIR="+dir)
			cmd.Stdin = strings.NewReader(mail("dying") + large)
			if r := run(t, cmd); r.code != 0 || r.stderr != "" {
				t.Errorf("uid %d, connection broken at %q: exit %d: %s", uid, point, r.code, r.stderr)
			}
		}
	}
	h.start()
	want := len(points)
	if me == 0 {
		want *= 2
	}
	until(t, "all is delivered", func() bool { return copies(sink, "dying") == want })
	h.emptied()
}

// dyingDaemon listens on a submission socket and answers as a daemon does until a
// line begins with the word; then the connection breaks.
func dyingDaemon(t *testing.T, dir, word string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "submit.sock")
	l, err := net.Listen("unix", path)
	if err == nil {
		err = os.Chmod(path, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answerUntil(c, word)
		}
	}()
}

func answerUntil(c net.Conn, word string) {
	defer c.Close()
	if word == "" {
		return
	}
	io.WriteString(c, "220 ready\r\n")
	for lines := bufio.NewReader(c); ; {
		line, err := lines.ReadString('\n')
		if err != nil || strings.HasPrefix(line, word) {
			return
		}
		switch {
		case strings.HasPrefix(line, "DATA"):
			io.WriteString(c, "354 go on\r\n")
		case strings.HasPrefix(line, "EHLO"), strings.HasPrefix(line, "MAIL"), strings.HasPrefix(line, "RCPT"):
			io.WriteString(c, "250 ok\r\n")
		}
	}
}

// swallowReply stands between sendmail and the daemon and cuts the connection
// instead of passing on the reply to the final dot. It gives the directory of its
// socket.
func swallowReply(t *testing.T, h *host) (runDir string) {
	t.Helper()
	dir := h.path("proxy")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "submit.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go betray(client, h.path("run/submit.sock"))
		}
	}()
	return dir
}

// betray passes everything on but what follows the reply to DATA.
func betray(client net.Conn, path string) {
	defer client.Close()
	server, err := net.Dial("unix", path)
	if err != nil {
		return
	}
	defer server.Close()
	go io.Copy(server, client)
	buf := make([]byte, 4096)
	for granted := false; ; {
		n, err := server.Read(buf)
		if err != nil || granted {
			return
		}
		granted = strings.Contains("\n"+string(buf[:n]), "\n354 ")
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// TestNeedlessSMTPUTF8: clients that declare SMTPUTF8 wherever it is offered reach
// hosts that do not know it, as long as nothing in the mail needs it.
func TestNeedlessSMTPUTF8(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sink, sender := h.net.sink("good.test", smtptest.Options{}), h.net.sink("sender.test", smtptest.Options{})
	// The standard library's client is one of them.
	text := "From: sender@sender.test\r\nSubject: plain\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"
	if err := smtp.SendMail(h.proc.address(), nil, "sender@sender.test", []string{"to@good.test"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	h.emptied()
	if copies(sink, "Subject: plain") != 1 || sender.Count() != 0 {
		t.Errorf("%d copies and %d reports, want one and none", copies(sink, "Subject: plain"), sender.Count())
	}
}
