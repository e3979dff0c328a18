package sendmail_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/internal/sendmail"
)

const testPasswd = `root:x:0:0:root:/root:/bin/sh
broken line
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/:/bin/false
alice:x:%d:1001:Alice Q. Example,Room 1,555:/home/alice:/bin/sh
bob:x:1002:1002:Bob (the) "B" Builder:/home/bob:/bin/sh
carol:x:1003:1003:& Amper:/home/carol:/bin/sh
`

// aliceUID is the user most tests run as: any uid if we are root, else our own.
func aliceUID() int {
	if uid := os.Getuid(); uid != 0 {
		return uid
	}
	return 1001
}

// host is a configured system with nothing running.
type host struct {
	t              *testing.T
	dir            string
	spool, maildir string
	config, passwd string
	programs       []execution
	onStart        func() // a program is started
}

// execution is a program that was started or became.
type execution struct {
	argv       []string
	background bool
}

func newHost(t *testing.T, extra string) *host {
	t.Helper()
	// Not t.TempDir: the path of a socket must be short.
	dir, err := os.MkdirTemp("", "pr")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	h := &host{t: t, dir: dir, spool: filepath.Join(dir, "spool"), config: filepath.Join(dir, "c.toml"), passwd: filepath.Join(dir, "passwd")}
	h.maildir = filepath.Join(h.spool, "maildrop")
	must(t, os.Mkdir(h.spool, 0o755))
	must(t, os.WriteFile(h.passwd, fmt.Appendf(nil, testPasswd, aliceUID()), 0o644))
	must(t, os.WriteFile(h.config, fmt.Appendf(nil, "hostname = \"testhost.example.org\"\norigin = \"example.org\"\n"+
		"local_domains = [\"example.org\", \"localhost\"]\nspool = %q\nrun_dir = %q\n%s", h.spool, dir, extra), 0o644))
	return h
}

func (h *host) withMaildrop() *host {
	h.t.Helper()
	must(h.t, os.Mkdir(h.maildir, 0o700))
	must(h.t, os.Chmod(h.maildir, 0o733|os.ModeSetgid|os.ModeSticky))
	return h
}

func (h *host) socket() string { return filepath.Join(h.dir, "submit.sock") }

// result is what a run of the command left.
type result struct {
	status         int
	stdout, stderr string
}

// env is alice's, with nothing on standard input.
func (h *host) env(args ...string) sendmail.Env {
	return sendmail.Env{
		Args:     append([]string{"sendmail"}, args...),
		Stdin:    strings.NewReader(""),
		UID:      aliceUID(),
		EUID:     aliceUID(),
		Environ:  []string{"PATH=/usr/bin:/bin", "POSTRIDER_CONFIG=" + h.config},
		Passwd:   h.passwd,
		TempDirs: []string{h.dir},
		Programs: []string{filepath.Join(h.dir, "bin")},
		Exec: func(_ string, argv, _ []string) error {
			h.programs = append(h.programs, execution{argv: argv})
			return errors.New("replaced")
		},
		Start: func(_ string, argv, _ []string) (func() int, error) {
			h.programs = append(h.programs, execution{argv, true})
			if h.onStart != nil {
				h.onStart()
			}
			return func() int { <-h.t.Context().Done(); return 0 }, nil
		},
		Capture: func(string, []string, []string) ([]byte, int, error) {
			return nil, 0, errors.New("not in this test")
		},
		Patience: sendmail.DefaultPatience(),
		Now:      time.Now,
	}
}

func run(env sendmail.Env) result {
	var stdout, stderr bytes.Buffer
	env.Stdout, env.Stderr = &stdout, &stderr
	status := sendmail.Run(env)
	return result{status, stdout.String(), stderr.String()}
}

// send runs the command as alice.
func (h *host) send(stdin string, args ...string) result {
	env := h.env(args...)
	env.Stdin = strings.NewReader(stdin)
	return run(env)
}

func (r result) want(t *testing.T, status int, stderr string) {
	t.Helper()
	if r.status != status {
		t.Errorf("exit status %d, want %d; stderr: %s", r.status, status, r.stderr)
	}
	if stderr == "" && r.stderr != "" || !strings.Contains(r.stderr, stderr) {
		t.Errorf("stderr is %q, want %q", r.stderr, stderr)
	}
	if strings.Count(r.stderr, "\n") > 1 {
		t.Errorf("more than one line on stderr: %q", r.stderr)
	}
}

// mail is a message as a server got it.
type mail struct {
	hello, from string
	opts        smtp.MailOptions
	to          []string
	rcptOpts    []smtp.RcptOptions
	data        string
}

// server is a submission socket served by go-smtp.
type server struct {
	mu      sync.Mutex
	got     []mail
	onMail  error
	onRcpt  func(to string) error
	onData  func() error
	maxSize int64
}

func (h *host) serve(s *server) *server {
	h.t.Helper()
	l, err := net.Listen("unix", h.socket())
	must(h.t, err)
	srv := smtp.NewServer(s)
	srv.Domain = "testhost.example.org"
	srv.EnableDSN, srv.EnableSMTPUTF8 = true, true
	srv.MaxMessageBytes = s.maxSize
	srv.MaxLineLength = 1 << 20
	srv.ErrorLog = discardLog{}
	ended := make(chan struct{})
	go func() { defer close(ended); srv.Serve(l) }()
	h.t.Cleanup(func() { l.Close(); srv.Close(); <-ended })
	return s
}

type discardLog struct{}

func (discardLog) Printf(string, ...any) {}
func (discardLog) Println(...any)        {}

func (s *server) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &session{server: s, conn: c}, nil
}

func (s *server) mails() []mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.got
}

type session struct {
	server *server
	conn   *smtp.Conn
	mail   mail
}

func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	s.mail = mail{hello: s.conn.Hostname(), from: from, opts: *opts}
	return s.server.onMail
}

func (s *session) Rcpt(to string, opts *smtp.RcptOptions) error {
	if s.server.onRcpt != nil {
		if err := s.server.onRcpt(to); err != nil {
			return err
		}
	}
	s.mail.to = append(s.mail.to, to)
	s.mail.rcptOpts = append(s.mail.rcptOpts, *opts)
	return nil
}

func (s *session) Data(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if s.server.onData != nil {
		if err := s.server.onData(); err != nil {
			return err
		}
	}
	s.mail.data = strings.ReplaceAll(string(data), "\r\n", "\n")
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.got = append(s.server.got, s.mail)
	return nil
}

func (s *session) Reset()        {}
func (s *session) Logout() error { return nil }

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// conversation reads replies as they come.
type conversation struct{ *textproto.Reader }

func converse(r io.Reader) conversation {
	return conversation{textproto.NewReader(bufio.NewReader(r))}
}

// expect reads a reply of one line or more.
func (c conversation) expect(t *testing.T, code string) {
	t.Helper()
	for {
		line, err := c.ReadLine()
		must(t, err)
		if !strings.HasPrefix(line, code) {
			t.Fatalf("said %q, want %s", line, code)
		}
		if line[3] == ' ' {
			return
		}
	}
}
