package smtpd_test

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
	"github.com/xdg-go/scram"

	"postrider/internal/logins"
	"postrider/internal/smtpd"
	"postrider/internal/smtptest"
)

const (
	login    = "alice@origin.test"
	password = "correct horse"
)

// secured is a server with a certificate and one login.
type secured struct {
	*fixture
	roots *x509.CertPool
	log   *lockedBuffer
	users string
}

func startSecured(t *testing.T, service smtpd.Service, set func(*settings)) *secured {
	t.Helper()
	s := &secured{log: &lockedBuffer{}, users: filepath.Join(t.TempDir(), "users")}
	if _, err := logins.Set(s.users, login, password, -1); err != nil {
		t.Fatal(err)
	}
	ca := smtptest.NewCA(t)
	s.roots = ca.Pool()
	s.fixture = start(t, func(o *settings) {
		o.service = service
		o.smtpd.TLS, o.smtpd.Logins = ca.Server(t, "mx.test"), logins.Open(s.users)
		o.smtpd.LoginDelay = time.Millisecond
		o.smtpd.Logger = slog.New(slog.NewTextHandler(s.log, nil))
		if set != nil {
			set(o)
		}
	})
	return s
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (s *secured) config() *tls.Config { return &tls.Config{RootCAs: s.roots, ServerName: "mx.test"} }

// under puts TLS over a raw client's connection.
func (s *secured) under(c *client) *client {
	s.t.Helper()
	conn := tls.Client(c.Conn, s.config())
	if err := conn.Handshake(); err != nil {
		s.t.Fatal(err)
	}
	return &client{s.t, conn, bufio.NewReader(conn)}
}

// encrypted is a raw client that has greeted under TLS.
func (s *secured) encrypted() *client {
	s.t.Helper()
	c := s.dial("tcp")
	c.expect("220 ")
	c.send("EHLO c.test\r\nSTARTTLS\r\n")
	c.expect("250 ", "220 2.0.0")
	c = s.under(c)
	c.send("EHLO c.test\r\n")
	c.expect("250 ")
	return c
}

// scramClient speaks SCRAM-SHA-256 with another implementation's client side.
type scramClient struct{ steps *scram.ClientConversation }

func newScramClient(t *testing.T, name, password, actAs string) sasl.Client {
	t.Helper()
	c, err := scram.SHA256.NewClient(name, password, actAs)
	if err != nil {
		t.Fatal(err)
	}
	return scramClient{c.NewConversation()}
}

func (s scramClient) Start() (string, []byte, error) {
	first, err := s.steps.Step("")
	return "SCRAM-SHA-256", []byte(first), err
}

func (s scramClient) Next(challenge []byte) ([]byte, error) {
	answer, err := s.steps.Step(string(challenge))
	return []byte(answer), err
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func mechanism(t *testing.T, name, user, password string) sasl.Client {
	switch name {
	case "PLAIN":
		return sasl.NewPlainClient("", user, password)
	case "LOGIN":
		return sasl.NewLoginClient(user, password)
	}
	return newScramClient(t, user, password, "")
}

// connect is a real client of the service.
func (s *secured) connect(service smtpd.Service) *smtp.Client {
	s.t.Helper()
	var client *smtp.Client
	var err error
	if service == smtpd.Submissions {
		client, err = smtp.DialTLS(s.tcp, s.config())
	} else {
		client, err = smtp.DialStartTLS(s.tcp, s.config())
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { client.Close() })
	return client
}

func TestLoginByEachWay(t *testing.T) {
	for name, service := range map[string]smtpd.Service{"STARTTLS": smtpd.Submission, "implicit TLS": smtpd.Submissions} {
		for _, mech := range []string{"PLAIN", "LOGIN", "SCRAM-SHA-256"} {
			t.Run(name+" "+mech, func(t *testing.T) {
				s := startSecured(t, service, nil)
				c := s.connect(service)
				if err := c.Auth(mechanism(t, mech, login, password)); err != nil {
					t.Fatal(err)
				}
				text := strings.NewReader("From: a@origin.test\r\nBcc: hidden@far.test\r\n\r\nhi\r\n")
				if err := c.SendMail("a@origin.test", []string{"x@far.test"}, text); err != nil {
					t.Fatal(err)
				}
				m, stored := s.only()
				if m.Origin.User != login || m.Origin.Client == "" {
					t.Errorf("origin %+v", m.Origin)
				}
				for _, want := range []string{" with ESMTPSA id ", "\n\ttls TLS_", " (TLS1.3);", "\nMessage-ID: <", "\nDate: "} {
					if !strings.Contains(stored, want) {
						t.Errorf("stored without %q:\n%s", want, stored)
					}
				}
				if strings.Contains(stored, "hidden") {
					t.Errorf("blind copy stays:\n%s", stored)
				}
				if log := s.log.String(); !strings.Contains(log, "logged in") || strings.Contains(log, password) {
					t.Errorf("log: %s", log)
				}
			})
		}
	}
}

func (c *client) keywords() string {
	c.t.Helper()
	c.send("EHLO c.test\r\n")
	var words []string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		words = append(words, strings.TrimSpace(line[4:]))
		if line[3] == ' ' {
			return strings.Join(words, "\n")
		}
	}
}

// TestSubmissionWantsTLSAndLogin: nothing goes in without, from this host neither.
func TestSubmissionWantsTLSAndLogin(t *testing.T) {
	s := startSecured(t, smtpd.Submission, nil)
	c := s.dial("tcp")
	c.expect("220 ")
	if words := c.keywords(); !strings.Contains(words, "STARTTLS") || strings.Contains(words, "AUTH") {
		t.Errorf("announced in clear text: %q", words)
	}
	c.send("MAIL FROM:<a@local.test>\r\nAUTH PLAIN " + b64("\x00"+login+"\x00"+password) + "\r\nRCPT TO:<b@local.test>\r\nDATA\r\nSTARTTLS now\r\nSTARTTLS\r\n")
	c.expect("530 5.7.0 Must issue a STARTTLS", "538 5.7.11", "503 ", "503 ", "501 5.5.4", "220 2.0.0")
	c = s.under(c)
	c.send("MAIL FROM:<a@local.test>\r\nAUTH PLAIN\r\n")
	c.expect("530 5.7.0 Authentication required", "503 5.5.1")
	if words := c.keywords(); strings.Contains(words, "STARTTLS") || !strings.Contains(words, "AUTH SCRAM-SHA-256 PLAIN LOGIN") {
		t.Errorf("announced under TLS: %q", words)
	}
	c.send("STARTTLS\r\n" + intro[len("EHLO c.test\r\n"):] + "DATA\r\n")
	c.expect("503 5.5.1", "530 5.7.0", "503 ", "503 ")
	if n := len(s.messages()); n != 0 {
		t.Errorf("%d messages", n)
	}
}

// TestCommandsBeforeTLS: what somebody put into the clear text does not reach the
// encrypted session, and what was said there is forgotten.
func TestCommandsBeforeTLS(t *testing.T) {
	s := startSecured(t, smtpd.Relay, nil)
	c := s.dial("tcp")
	c.expect("220 ")
	c.send(intro + "STARTTLS\r\nDATA\r\nevil\r\n.\r\nNOOP\r\n")
	c.expect("250 ", "250 ", "250 ", "220 2.0.0")
	c = s.under(c)
	c.send("RCPT TO:<c@local.test>\r\nMAIL FROM:<a@c.test>\r\nHELO other.test\r\nRCPT TO:<b@local.test>\r\nAUTH PLAIN\r\n" + intro + "DATA\r\n\r\nhi\r\n.\r\n")
	c.expect("503 5.5.1", "503 5.5.1", "250 mx.test", "503 5.5.1", "502 5.5.1", "250 ", "250 ", "250 ", "354 ", "250 2.0.0")
	m, text := s.only()
	if len(m.Recipients) != 1 || !strings.Contains(text, "with ESMTPS id") || strings.Contains(text, "evil") {
		t.Errorf("%v:\n%s", m.Recipients, text)
	}
	if !strings.Contains(s.log.String(), "commands sent before TLS are dropped") {
		t.Errorf("log: %s", s.log)
	}
}

func TestFailedLogins(t *testing.T) {
	const unknown, wrong = "mallory", "hunter2hunter2"
	tests := []struct {
		name    string
		client  func(t *testing.T) sasl.Client
		logged  string
		silence string // what the log must not have
	}{
		{"PLAIN", func(t *testing.T) sasl.Client { return mechanism(t, "PLAIN", login, wrong) }, "login=" + login, wrong},
		{"LOGIN", func(t *testing.T) sasl.Client { return mechanism(t, "LOGIN", login, wrong) }, "mechanism=LOGIN", wrong},
		{"SCRAM", func(t *testing.T) sasl.Client { return mechanism(t, "SCRAM-SHA-256", login, wrong) }, "mechanism=SCRAM-SHA-256", wrong},
		{"unknown name", func(t *testing.T) sasl.Client { return mechanism(t, "PLAIN", unknown, wrong) }, "mechanism=PLAIN", unknown},
		{"unknown name by SCRAM", func(t *testing.T) sasl.Client { return mechanism(t, "SCRAM-SHA-256", unknown, wrong) }, "mechanism=SCRAM-SHA-256", unknown},
		{"acting as another", func(*testing.T) sasl.Client { return sasl.NewPlainClient("bob", login, password) }, "mechanism=PLAIN", password},
		{"acting as another by SCRAM", func(t *testing.T) sasl.Client { return newScramClient(t, login, password, "bob") }, "SCRAM", password},
		{"empty password", func(*testing.T) sasl.Client { return sasl.NewPlainClient("", login, "") }, "PLAIN", "logged in"},
		{"password that is no text", func(*testing.T) sasl.Client { return sasl.NewPlainClient("", login, "\xff\x01") }, "PLAIN", "logged in"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := startSecured(t, smtpd.Submissions, nil)
			c := s.connect(smtpd.Submissions)
			for i := range 3 {
				err := c.Auth(tt.client(t))
				if e, ok := err.(*smtp.SMTPError); !ok || e.Code != 535 || e.EnhancedCode != (smtp.EnhancedCode{5, 7, 8}) {
					t.Fatalf("attempt %d: %v", i, err)
				}
			}
			log := waitLog(t, s.log, "Too many failed logins")
			if err := c.Noop(); err == nil {
				t.Error("the connection goes on")
			}
			if strings.Count(log, "authentication failed") != 3 || !strings.Contains(log, "client=127.0.0.1:") || !strings.Contains(log, tt.logged) {
				t.Errorf("log lacks something: %s", log)
			}
			if strings.Contains(log, tt.silence) {
				t.Errorf("log has %q: %s", tt.silence, log)
			}
		})
	}
}

func TestAuthDialogue(t *testing.T) {
	good := b64("\x00" + login + "\x00" + password)
	tests := []struct {
		name, send string
		replies    []string
	}{
		{"no mechanism", "AUTH\r\n", []string{"501 5.5.4"}},
		{"unknown mechanism", "AUTH CRAM-MD5\r\n", []string{"504 5.5.4"}},
		{"not base64", "AUTH PLAIN !!!\r\n", []string{"501 5.5.2"}},
		{"answer is not base64", "AUTH LOGIN\r\n!!!\r\n", []string{"334 VXNlcm5hbWU6", "501 5.5.2"}},
		{"cancelled", "AUTH PLAIN\r\n*\r\n", []string{"334", "501 "}},
		{"malformed", "AUTH PLAIN " + b64("no zero bytes") + "\r\n", []string{"501 5.5.2"}},
		{"empty", "AUTH PLAIN =\r\n", []string{"501 5.5.2"}},
		{"lower case", "auth plain " + good + "\r\n", []string{"235 2.7.0"}},
		{"in two steps", "AUTH PLAIN\r\n" + good + "\r\n", []string{"334", "235 2.7.0"}},
		{"answers that read like commands", "AUTH LOGIN\r\nHELP\r\nBDAT\r\n", []string{"334", "334 UGFzc3dvcmQ6", "535 5.7.8"}},
		{"SCRAM begun with an empty challenge", "AUTH SCRAM-SHA-256\r\n" + b64("n,,n=x,r=abc") + "\r\n*\r\n", []string{"334", "334", "501 "}},
		{"SCRAM with channel binding", "AUTH SCRAM-SHA-256 " + b64("p=tls-unique,,n=x,r=abc") + "\r\n", []string{"535 5.7.8"}},
		{"three failures", strings.Repeat("AUTH PLAIN "+b64("\x00x\x00y")+"\r\n", 4), []string{"535 ", "535 ", "535 ", "421 4.7.0"}},
		{"twice", "AUTH PLAIN " + good + "\r\nAUTH PLAIN " + good + "\r\n", []string{"235 2.7.0", "503 5.5.1"}},
		{"in a transaction", "AUTH PLAIN " + good + "\r\nMAIL FROM:<a@b.test>\r\nAUTH PLAIN\r\n", []string{"235 ", "250 ", "503 5.5.1"}},
		{"line too long", "AUTH PLAIN " + strings.Repeat("A", 5000) + "\r\n", []string{"500 5.5.2"}},
	}
	s := startSecured(t, smtpd.Submission, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := s.encrypted()
			c.t = t
			c.send(tt.send)
			c.expect(tt.replies...)
		})
	}
}

func TestLoginsThatCannotBeRead(t *testing.T) {
	s := startSecured(t, smtpd.Submissions, nil)
	if err := os.Chmod(s.users, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, mech := range []string{"PLAIN", "SCRAM-SHA-256"} {
		err := s.connect(smtpd.Submissions).Auth(mechanism(t, mech, login, password))
		if e, ok := err.(*smtp.SMTPError); !ok || e.Code != 454 || e.EnhancedCode != (smtp.EnhancedCode{4, 7, 0}) {
			t.Errorf("%s: %v", mech, err)
		}
	}
	if log := s.log.String(); !strings.Contains(log, "chmod 640") {
		t.Errorf("log: %s", log)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	for _, service := range []smtpd.Service{smtpd.Submissions, smtpd.Submission} {
		s := startSecured(t, service, func(o *settings) { o.smtpd.TLS.MinVersion = tls.VersionTLS10 })
		c := s.dial("tcp")
		if service == smtpd.Submission {
			c.expect("220 ")
			c.send("STARTTLS\r\n")
			c.expect("220 ")
		}
		old := s.config()
		old.MaxVersion = tls.VersionTLS11
		old.MinVersion = tls.VersionTLS10
		if err := tls.Client(c.Conn, old).Handshake(); err == nil {
			t.Error("TLS 1.1 is spoken")
		}
		if !strings.Contains(waitLog(t, s.log, "TLS handshake failed"), "client=127.0.0.1") {
			t.Errorf("log: %s", s.log)
		}
	}
}

// waitLog waits for a line that a goroutine of the server writes.
func waitLog(t *testing.T, log *lockedBuffer, text string) string {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if s := log.String(); strings.Contains(s, text) {
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("log lacks %q: %s", text, log)
		}
	}
}

// TestClearTextOnTLSPort: who does not begin with TLS gets no words, and no hold on
// the place.
func TestClearTextOnTLSPort(t *testing.T) {
	s := startSecured(t, smtpd.Submissions, nil)
	c := s.dial("tcp")
	c.send("EHLO c.test\r\n")
	line, err := c.r.ReadString('\n')
	if strings.HasPrefix(line, "220") || strings.HasPrefix(line, "250") {
		t.Errorf("answered %q, %v", line, err)
	}
	waitLog(t, s.log, "TLS handshake failed")
}

func TestServiceWithoutLogins(t *testing.T) {
	f := start(t, nil)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.server.ServeTCP(t.Context(), l, smtpd.Submission); err == nil {
		t.Error("a submission service without certificate and logins is served")
	}
	if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
		c.Close()
		t.Error("listener is open")
	}
}
