package lmtp_test

import (
	"bytes"
	"context"
	"io"
	"log"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"

	"postrider/delivery/lmtp"
	"postrider/queue"
)

// store is a mail store on go-smtp's server: each recipient gets what replies says.
type store struct {
	replies map[string]error

	mu   sync.Mutex
	got  []delivered
	serv *smtp.Server
}

// delivered is one transaction.
type delivered struct {
	from string
	mail smtp.MailOptions
	to   []string
	rcpt []smtp.RcptOptions
	data string
}

func startStore(t *testing.T, network, address string, s *store) lmtp.Target {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	srv := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &session{store: s}, nil }))
	srv.LMTP, srv.Domain, srv.EnableDSN, srv.EnableSMTPUTF8, srv.MaxMessageBytes = true, "store.test", true, true, 1000
	srv.ErrorLog = log.New(io.Discard, "", 0)
	s.serv = srv
	var serving sync.WaitGroup
	serving.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { l.Close(); srv.Close(); serving.Wait() })
	return lmtp.Target{Network: network, Address: l.Addr().String()}
}

type session struct {
	store *store
	now   delivered
}

func (s *session) Reset()        { s.now = delivered{} }
func (s *session) Logout() error { return nil }

func (s *session) Mail(from string, o *smtp.MailOptions) error {
	s.now = delivered{from: from, mail: *o}
	return nil
}

func (s *session) Rcpt(to string, o *smtp.RcptOptions) error {
	if to == "nobody@x" {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "No such user"}
	}
	s.now.to, s.now.rcpt = append(s.now.to, to), append(s.now.rcpt, *o)
	return nil
}

func (s *session) Data(io.Reader) error { panic("not LMTP") }

func (s *session) LMTPData(r io.Reader, status smtp.StatusCollector) error {
	var b bytes.Buffer
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	s.now.data = b.String()
	for _, to := range s.now.to {
		status.SetStatus(to, s.store.replies[to])
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.got = append(s.store.got, s.now)
	return nil
}

func (s *store) all() []delivered {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

func TestEachRecipientHasItsReply(t *testing.T) {
	for _, network := range []string{"unix", "tcp"} {
		t.Run(network, func(t *testing.T) {
			s := &store{replies: map[string]error{
				"full@x": &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 2, 2}, Message: "Mailbox is full"},
				"spam@x": &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "Not wanted"},
			}}
			at := "127.0.0.1:0"
			if network == "unix" {
				at = socketPath(t)
			}
			target := startStore(t, network, at, s)
			c := &lmtp.Client{Hostname: "me.test"}
			got := c.Deliver(t.Context(), target, to("a@x", "full@x", "nobody@x", "spam@x", "b@x"), open(body))
			check(t, got, "delivered 250 2.0.0, deferred 452 4.2.2, failed 550 5.1.1, failed 554 5.7.1, delivered 250 2.0.0",
				"250 2.0.0 <a@x>", "452 4.2.2 <full@x> Mailbox is full", "550 5.1.1 No such user", "554 5.7.1 <spam@x> Not wanted", "250 2.0.0 <b@x>")
			if all := s.all(); len(all) != 1 || all[0].data != body || all[0].from != "from@example.org" {
				t.Errorf("the store got %+v", all)
			}
		})
	}
}

func TestParameters(t *testing.T) {
	s := &store{}
	target := startStore(t, "unix", socketPath(t), s)
	e := to("jörg@bücher.example", "b@x", "c@x", "d@x")
	e.Body, e.SMTPUTF8 = queue.Body8BitMIME, true
	e.From = addr("")
	e.Recipients[0].Original, e.Recipients[0].Notify = `utf-8;jörg+=\@bücher.example`, queue.NotifySuccess|queue.NotifyDelay
	e.Recipients[1].Original, e.Recipients[1].Notify = "rfc822;list+x@example.org", queue.NotifySuccess
	e.Recipients[2].Original, e.Recipients[2].Notify = "x-other;c", queue.NotifyFailure|queue.NotifyDelay
	got := (&lmtp.Client{}).Deliver(t.Context(), target, e, open(body))
	check(t, got, "delivered 250 2.0.0, delivered 250 2.0.0, delivered 250 2.0.0, delivered 250 2.0.0")
	m := s.all()[0]
	if m.from != "" || m.mail.Body != smtp.Body8BitMIME || !m.mail.UTF8 || m.mail.Size != int64(len(body)) {
		t.Errorf("MAIL said %q %+v", m.from, m.mail)
	}
	for i, want := range []smtp.RcptOptions{
		{Notify: []smtp.DSNNotify{"DELAY"}, OriginalRecipientType: "UTF-8", OriginalRecipient: `jörg+=\@bücher.example`},
		{Notify: []smtp.DSNNotify{"NEVER"}, OriginalRecipientType: "RFC822", OriginalRecipient: "list+x@example.org"},
		{Notify: []smtp.DSNNotify{"FAILURE", "DELAY"}},
		{},
	} {
		if r := m.rcpt[i]; !slices.Equal(r.Notify, want.Notify) || r.OriginalRecipientType != want.OriginalRecipientType || r.OriginalRecipient != want.OriginalRecipient {
			t.Errorf("RCPT %s said %+v, want %+v", m.to[i], r, want)
		}
	}
}

// TestTooLarge: what is larger than the store takes is not even begun.
func TestTooLarge(t *testing.T) {
	s := &store{}
	target := startStore(t, "unix", socketPath(t), s)
	e := to("a@x")
	e.Size = 1001
	check(t, (&lmtp.Client{}).Deliver(t.Context(), target, e, open(body)), "failed 0 5.3.4", "1001 bytes is larger than the 1000")
}

// TestHundredsOfRecipients has a store that takes fifty in one transaction.
func TestHundredsOfRecipients(t *testing.T) {
	s := &store{}
	target := startStore(t, "unix", socketPath(t), s)
	s.serv.MaxRecipients = 50
	var list []string
	for i := range 230 {
		list = append(list, "user"+string(rune('a'+i/26))+string(rune('a'+i%26))+"@x")
	}
	said := &counting{}
	got := (&lmtp.Client{Dial: said.dial}).Deliver(t.Context(), target, to(list...), open(body))
	if said.rcpts > 500 {
		t.Errorf("%d recipients were named, though fifty were taken at once", said.rcpts)
	}
	seen := map[string]int{}
	for _, m := range s.all() {
		for _, to := range m.to {
			seen[to]++
		}
	}
	for i, o := range got {
		if o.Result != queue.Delivered || seen[list[i]] != 1 {
			t.Errorf("%s: %+v, %d copies", list[i], o, seen[list[i]])
		}
	}
}

// counting is a connection that counts RCPT commands.
type counting struct {
	net.Conn
	rcpts int
}

func (c *counting) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	c.Conn, err = new(net.Dialer).DialContext(ctx, network, address)
	return c, err
}

func (c *counting) Write(p []byte) (int, error) {
	c.rcpts += bytes.Count(p, []byte("RCPT TO:"))
	return c.Conn.Write(p)
}
