package daemon_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"postrider/internal/config"
	"postrider/internal/daemon"
	"postrider/internal/logins"
	"postrider/internal/smtptest"
)

// served is a daemon within this process that serves every kind of listener.
type served struct {
	dir, config string
	log         *buffer
	ca          *smtptest.CA
	addresses   []string // smtp, submission, submissions
}

func newServed(t *testing.T, extra string) *served {
	t.Helper()
	dir := t.TempDir()
	s := &served{dir: dir, config: filepath.Join(dir, "postrider.toml"), log: new(buffer), ca: smtptest.NewCA(t)}
	s.certify(t, "first.test")
	if _, err := logins.Set(filepath.Join(dir, "users"), "alice", "secret", -1); err != nil {
		t.Fatal(err)
	}
	run, err := os.MkdirTemp("", "run") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	text := fmt.Sprintf(`hostname = "mx.test"
spool = %q
run_dir = %q
[submission]
listen = ["127.0.0.1:0", "submission://127.0.0.1:0", "submissions://127.0.0.1:0"]
certificate_file = %q
key_file = %q
users = %q
%s
[dns]
servers = ["127.0.0.1:1"]
`, dir+"/spool", run, dir+"/cert.pem", dir+"/key.pem", dir+"/users", extra)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// certify writes a new certificate and its key.
func (s *served) certify(t *testing.T, name string) {
	t.Helper()
	c := s.ca.Server(t, name).Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"key.pem": {Type: "PRIVATE KEY", Bytes: der}, "cert.pem": {Type: "CERTIFICATE", Bytes: c.Certificate[0]}} {
		path := filepath.Join(s.dir, file)
		if err := errors.Join(os.WriteFile(path+".new", pem.EncodeToMemory(block), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// run starts the daemon and gives its end.
func (s *served) run(ctx context.Context, ready func()) error {
	return daemon.Run(ctx, daemon.Options{Stderr: s.log, Version: "test", Ready: ready,
		Load: func() (*config.Config, error) { return config.Load(config.Source{Path: s.config}) }})
}

func (s *served) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- s.run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		t.Fatalf("daemon: %v\n%s", err, s.log)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("daemon: %v\n%s", err, s.log)
		}
	})
	for limit := time.Now().Add(30 * time.Second); s.addresses == nil; { // the log is written with a delay
		if m := regexp.MustCompile(`msg=ready .*listen="([^"]*)"`).FindStringSubmatch(s.log.String()); m != nil {
			s.addresses = strings.Fields(m[1])
		} else if time.Now().After(limit) {
			t.Fatalf("never ready: %s", s.log)
		}
	}
}

func (s *served) trust(name string) *tls.Config {
	return &tls.Config{RootCAs: s.ca.Pool(), ServerName: name}
}

func TestServices(t *testing.T) {
	s := newServed(t, "")
	s.start(t)
	for i, dial := range []func(string, *tls.Config) (*smtp.Client, error){smtp.DialStartTLS, smtp.DialStartTLS, smtp.DialTLS} {
		c, err := dial(s.addresses[i], s.trust("first.test"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i > 0 {
			if err := c.Mail("a@mx.test", nil); err == nil {
				t.Errorf("%s takes mail without a login", s.addresses[i])
			}
			if i == 1 && c.Auth(sasl.NewPlainClient("", "alice", "wrong")) == nil {
				t.Errorf("%s takes a wrong password", s.addresses[i])
			}
			if err := c.Auth(sasl.NewPlainClient("", "alice", "secret")); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.SendMail("a@mx.test", []string{"b@elsewhere.test"}, strings.NewReader("Subject: x\r\n\r\nhi\r\n")); err != nil {
			t.Errorf("%s: %v", s.addresses[i], err)
		}
	}
	for _, want := range []string{`msg="authentication failed" client=127.0.0.1:`, `msg="logged in"`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("log lacks %q:\n%s", want, s.log)
		}
	}
	s.certify(t, "second.test")
	if c, err := smtp.DialTLS(s.addresses[2], s.trust("second.test")); err != nil {
		t.Errorf("the renewed certificate is not used: %v", err)
	} else {
		c.Close()
	}
}

// TestFailedLoginsInLog: the documented expression finds the client of a failed login,
// and nobody whom a client names in an address.
func TestFailedLoginsInLog(t *testing.T) {
	text, err := os.ReadFile("../../docs/submission.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`failregex = (.*)`).FindSubmatch(text)
	if found == nil {
		t.Fatal("docs/submission.md has no failregex")
	}
	expression := regexp.MustCompile(strings.ReplaceAll(string(found[1]), "<HOST>", `([0-9a-fA-F.:]+)`))

	s := newServed(t, "")
	s.start(t)
	c, err := smtp.DialTLS(s.addresses[2], s.trust("first.test"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Auth(sasl.NewPlainClient("", "alice", "wrong"))
	if err := c.Auth(sasl.NewPlainClient("", "alice", "secret")); err != nil {
		t.Fatal(err)
	}
	for i, forged := range []string{"authentication failed client=192.0.2.66:1", `msg="authentication failed" client=192.0.2.66:1`} {
		id := fmt.Sprintf("<forged%d@x.test>", i)
		from := `"` + strings.ReplaceAll(forged, `"`, `\"`) + `"@mx.test`
		if err := c.SendMail(from, []string{"b@elsewhere.test"}, strings.NewReader("Message-ID: "+id+"\r\n\r\nhi\r\n")); err != nil {
			t.Fatal(err)
		}
		for limit := time.Now().Add(30 * time.Second); !strings.Contains(s.log.String(), id); { // the log is written with a delay
			if time.Now().After(limit) {
				t.Fatalf("not logged: %s", s.log)
			}
		}
	}
	var clients []string
	for _, m := range expression.FindAllStringSubmatch(s.log.String(), -1) {
		clients = append(clients, m[1])
	}
	if strings.Join(clients, " ") != "127.0.0.1" || !strings.Contains(s.log.String(), "192.0.2.66") {
		t.Errorf("%s finds %q in\n%s", expression, clients, s.log)
	}
}

// TestUnknownUsers: a rule for a user who is not there is told of.
func TestUnknownUsers(t *testing.T) {
	s := newServed(t, "deny_users = [\"root\", \"4711\", \"no-such-user\"]\n[[submission.sender_rules]]\nusers = [\"*\", \"nor-this-one\"]\nallow = [\"*\"]")
	s.start(t)
	for name, want := range map[string]bool{"no-such-user": true, "nor-this-one": true, "root": false, "4711": false, "\"*\"": false} {
		if got := regexp.MustCompile(`no such user.*user=` + regexp.QuoteMeta(name) + `\n`).MatchString(s.log.String()); got != want {
			t.Errorf("%s: told of: %v, want %v\n%s", name, got, want, s.log)
		}
	}
}

// TestNoFiles: what is no file gets no advice to change its mode.
func TestNoFiles(t *testing.T) {
	for file, says := range map[string]string{"key.pem": "submission.key_file", "users": "submission.users"} {
		s := newServed(t, "")
		path := filepath.Join(s.dir, file)
		if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
			t.Fatal(err)
		}
		err := s.run(t.Context(), func() { t.Errorf("with a directory for %s it runs", file) })
		if !errors.As(err, new(*daemon.ConfigError)) || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// TestUnsafeFiles: secrets that others can read stop the start.
func TestUnsafeFiles(t *testing.T) {
	for file, says := range map[string]string{"key.pem": "submission.key_file", "users": "submission.users"} {
		s := newServed(t, "")
		if err := os.Chmod(filepath.Join(s.dir, file), 0o644); err != nil {
			t.Fatal(err)
		}
		err := s.run(t.Context(), func() { t.Errorf("with an open %s it runs", file) })
		if !errors.As(err, new(*daemon.ConfigError)) || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "chmod") {
			t.Errorf("%s: %v", file, err)
		}
	}
}
