package sendmail_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/internal/sendmail"
	"postrider/queue"
	"postrider/queue/boltstore"
)

const letter = "From: a@x.example\nDate: Mon, 01 Jan 2024 00:00:00 +0000\nMessage-ID: <1@x.example>\nSubject: s\n\nbody\n"

func refuse(code int, a, b, c int, text string) *smtp.SMTPError {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{a, b, c}, Message: text}
}

func TestDaemonRefuses(t *testing.T) {
	onlyBob := func(e *smtp.SMTPError) func(string) error {
		return func(to string) error {
			if strings.HasPrefix(to, "bob") {
				return e
			}
			return nil
		}
	}
	for name, tc := range map[string]struct {
		server *server
		status int
		stderr string
		queued int
	}{
		"disk full at MAIL":     {&server{onMail: refuse(452, 4, 3, 1, "no room")}, 75, "no room", 0},
		"disk full at the end":  {&server{onData: func() error { return refuse(452, 4, 3, 1, "no room") }}, 75, "no room", 0},
		"not allowed":           {&server{onMail: refuse(550, 5, 7, 1, "not you")}, 77, "not you", 0},
		"too big by SIZE":       {&server{maxSize: 20}, 69, "size", 0},
		"too big at the end":    {&server{onData: func() error { return refuse(552, 5, 3, 4, "too big") }}, 69, "too big", 0},
		"bad message":           {&server{onData: func() error { return refuse(554, 5, 6, 0, "bad\x1b[2Jmessage") }}, 65, "bad [2Jmessage", 0},
		"all recipients":        {&server{onRcpt: func(string) error { return refuse(553, 5, 1, 3, "bad address") }}, 65, "bad address", 0},
		"one of two recipients": {&server{onRcpt: onlyBob(refuse(550, 5, 1, 3, "bad address"))}, 65, "queued, but not for these recipients: bob@example.net", 1},
		"one of two for now":    {&server{onRcpt: onlyBob(refuse(450, 4, 2, 0, "later"))}, 75, "later", 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "").withMaildrop()
			s := h.serve(tc.server)
			h.send(letter, "bob@example.net", "carol@example.net").want(t, tc.status, tc.stderr)
			if len(s.mails()) != tc.queued {
				t.Errorf("%d messages queued, want %d", len(s.mails()), tc.queued)
			}
			if left := h.dropped(t); len(left) != 0 {
				t.Errorf("a refused message went to the maildrop: %v", left)
			}
		})
	}
}

// dropped lists the maildrop.
func (h *host) dropped(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(h.maildir)
	must(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// script plays a daemon that says a line for each block it reads, and then ends
// the connection, or hangs.
func (h *host) script(t *testing.T, hang bool, replies ...string) (heard func() string) {
	t.Helper()
	l, err := net.Listen("unix", h.socket())
	must(t, err)
	text := make(chan string, 1)
	closing := make(chan struct{})
	end := sync.OnceFunc(func() { close(closing) })
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var all strings.Builder
		r := bufio.NewReader(c)
		for i, reply := range replies {
			if i > 0 {
				line, _ := r.ReadString('\n')
				all.WriteString(line)
			}
			fmt.Fprint(c, reply)
		}
		if hang {
			<-closing
		}
		text <- all.String()
	}()
	// A test that fails before it asks what was heard must end too.
	t.Cleanup(func() { end(); l.Close(); <-ended })
	return func() string { end(); return <-text }
}

var ehlo = regexp.MustCompile(`^EHLO \[submit:([0-9A-Z]{20})\]\r\n`)

func TestDaemonBreaksOff(t *testing.T) {
	needRoot(t)
	const greeting, hello = "220 h ESMTP\r\n", "250-h\r\n250 DSN\r\n"
	for name, tc := range map[string]struct {
		replies []string
		hang    bool
	}{
		"no greeting":          {nil, false},
		"not available":        {[]string{"421 4.3.2 closing\r\n"}, false},
		"something else":       {[]string{"SSH-2.0-OpenSSH\r\n"}, false},
		"after EHLO":           {[]string{greeting, hello}, false},
		"after MAIL":           {[]string{greeting, hello, "250 ok\r\n"}, false},
		"after RCPT":           {[]string{greeting, hello, "250 ok\r\n", "250 ok\r\n"}, false},
		"in the body":          {[]string{greeting, hello, "250 ok\r\n", "250 ok\r\n", "354 go\r\n", ""}, false},
		"shutdown in the body": {[]string{greeting, hello, "250 ok\r\n", "250 ok\r\n", "354 go\r\n", "421 4.3.2 closing\r\n"}, false},
		"does not know MAIL":   {[]string{greeting, hello, "502 what\r\n"}, false},
		"hangs at the start":   {nil, true},
		"hangs after EHLO":     {[]string{greeting, hello}, true},
		"hangs in the body":    {[]string{greeting, hello, "250 ok\r\n", "250 ok\r\n", "354 go\r\n"}, true},
	} {
		for size, body := range map[string]string{"short": "body\n", "long": strings.Repeat("a line of a long message\n", 150_000)} {
			t.Run(name+"/"+size, func(t *testing.T) {
				h := newHost(t, "")
				collect := openMaildrop(t, h)
				heard := h.script(t, tc.hang, tc.replies...)
				env := h.env("-i", "bob@example.net")
				env.Stdin = strings.NewReader(letter + body)
				if tc.hang {
					env.Patience = sendmail.Patience{Connect: time.Second, Greet: 50 * time.Millisecond,
						Reply: 50 * time.Millisecond, Accept: 50 * time.Millisecond}
				}
				run(env).want(t, 0, "")
				got := collect()
				if len(got) != 1 || got[0].content != letter+body {
					t.Fatalf("maildrop got %d messages, or another text", len(got))
				}
				if m := ehlo.FindStringSubmatch(heard()); m != nil && m[1] != got[0].sid {
					t.Errorf("submission id %s on the socket, %s in the maildrop", m[1], got[0].sid)
				}
			})
		}
	}
}

func TestManyRecipients(t *testing.T) {
	h := newHost(t, "")
	s := h.serve(&server{})
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "To: user%d@example.net\n", i)
	}
	h.send(b.String()+"\nx\n", "-t").want(t, 0, "")
	if got := s.mails(); len(got) != 1 || len(got[0].to) != 10_000 || got[0].to[9_999] != "user9999@example.net" {
		t.Fatal("not all recipients arrived")
	}
}

func TestParametersOnTheSocket(t *testing.T) {
	h := newHost(t, "")
	s := h.serve(&server{})
	h.send("Subject: s\n\ncafé\n", "-G", "-V", "id with+blank", "-R", "full", "-N", "never", "-f", "", "jörg@example.net").want(t, 0, "")
	m := s.mails()[0]
	if !regexp.MustCompile(`^\[submit:[0-9A-Z]{20};raw\]$`).MatchString(m.hello) {
		t.Errorf("greeted as %q", m.hello)
	}
	if m.opts.Body != smtp.Body8BitMIME || !m.opts.UTF8 || m.opts.EnvelopeID != "id with+blank" || m.opts.Return != smtp.DSNReturnFull {
		t.Errorf("MAIL options are %+v", m.opts)
	}
	if m.from != "" || m.opts.Size != int64(len(m.data)) || !slices.Equal(m.rcptOpts[0].Notify, []smtp.DSNNotify{smtp.DSNNotifyNever}) {
		t.Errorf("from %q size %d notify %v", m.from, m.opts.Size, m.rcptOpts[0].Notify)
	}
	h.send("Subject: s\n\nx\n", "bob@example.net").want(t, 0, "")
	if o := s.mails()[1].opts; o.UTF8 || o.Body == smtp.Body8BitMIME {
		t.Errorf("plain message was sent with %+v", o)
	}
}

func TestNoWayIn(t *testing.T) {
	needRoot(t)
	h := newHost(t, "")
	start := time.Now()
	got := h.send(letter, "bob@example.net")
	got.want(t, 75, "message not queued")
	for _, tried := range []string{h.socket(), h.maildir, "postrider daemon"} {
		if !strings.Contains(got.stderr, tried) {
			t.Errorf("stderr does not speak of %s: %s", tried, got.stderr)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func TestLockedSpoolMeansMaildrop(t *testing.T) {
	h := newHost(t, "").withMaildrop()
	store, err := boltstore.Open(filepath.Join(h.spool, "queue.db"), boltstore.Options{})
	must(t, err)
	defer store.Close()
	env := h.env("bob@example.net")
	env.UID, env.EUID = os.Getuid(), os.Getuid()
	env.Stdin = strings.NewReader(letter)
	run(env).want(t, 0, "")
	if left := h.dropped(t); len(left) != 1 {
		t.Errorf("maildrop holds %v", left)
	}
}

func TestOnlyTheOwnerTouchesTheSpool(t *testing.T) {
	h := newHost(t, "").withMaildrop()
	env := h.env("bob@example.net")
	env.UID, env.EUID = os.Getuid()+4711, os.Getuid()+4711
	env.Stdin = strings.NewReader(letter)
	run(env).want(t, 0, "")
	if _, err := os.Stat(filepath.Join(h.spool, "queue.db")); err == nil {
		t.Error("a stranger made the spool's database")
	}
	if left := h.dropped(t); len(left) != 1 {
		t.Errorf("maildrop holds %v", left)
	}
}

func TestRootQueuesInTheOwnersName(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	h := newHost(t, "on_demand = true\n")
	must(t, os.Mkdir(filepath.Join(h.dir, "bin"), 0o755))
	must(t, os.WriteFile(filepath.Join(h.dir, "bin", "postrider"), nil, 0o755))
	must(t, os.Chown(h.spool, 1001, 1001))
	must(t, os.Chmod(h.spool, 0o700))
	env := h.env("bob@example.net")
	env.UID, env.EUID = 0, 0
	env.Stdin = strings.NewReader(letter)
	run(env).want(t, 0, "")
	entries, err := os.ReadDir(h.spool)
	must(t, err)
	for _, e := range entries {
		info, err := e.Info()
		must(t, err)
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 1001 || st.Gid != 1001 {
			t.Errorf("%s belongs to %d:%d", e.Name(), st.Uid, st.Gid)
		}
	}
	if os.Geteuid() != 0 || os.Getegid() != 0 {
		t.Error("root was not given back")
	}
	store, err := boltstore.Open(filepath.Join(h.spool, "queue.db"), boltstore.Options{})
	must(t, err)
	defer store.Close()
	found, _, err := store.List(t.Context(), queue.Filter{}, 0, 10)
	must(t, err)
	if len(found) != 1 || found[0].Message.Origin.Via != queue.ViaSpool || found[0].Message.Origin.UID != 0 ||
		found[0].Deliveries[0].Destination != "example.net" {
		t.Errorf("spool holds %+v", found)
	}
	want := execution{[]string{"postrider", "daemon", "--once"}, true}
	if len(h.programs) != 1 || !slices.Equal(h.programs[0].argv, want.argv) || !h.programs[0].background {
		t.Errorf("started %+v, want %+v", h.programs, want)
	}
}

func TestBadRecipientAmongGoodOnes(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		stdin  string
		status int
		stderr string
		to     string
	}{
		"operand":              {[]string{"bob@example.net", "a <b"}, letter, 0, "", `bob@example.net a <b@example.org`},
		"only a bad operand":   {[]string{"a <b"}, letter, 65, "no usable recipient", ""},
		"in the header":        {[]string{"-t"}, "To: bob@example.net, a@b..\n\nx\n", 0, "", `bob@example.net a@b..@example.org`},
		"non-ASCII":            {[]string{"-t"}, "To: bob@example.net, \"J\u00f6\n\nx\n", 0, "", `bob@example.net "J?@example.org`},
		"twice":                {[]string{"-t", "a@b.."}, "To: bob@example.net, a@b..\n\nx\n", 0, "", `bob@example.net a@b..@example.org`},
		"only bad in header":   {[]string{"-t"}, "To: a <b\n\nx\n", 65, "no usable recipient", ""},
		"newline in operand":   {[]string{"bob@example.net\ncarol@example.net"}, letter, 65, "control character", ""},
		"newline, others good": {[]string{"bob@example.net", "x\ny"}, letter, 65, "control character", ""},
		"empty operand":        {[]string{""}, letter, 64, "Recipient addresses must be specified", ""},
		"null operand":         {[]string{"<>"}, letter, 64, "Recipient addresses must be specified", ""},
		"empty beside good":    {[]string{"", "bob@example.net"}, letter, 0, "", "bob@example.net"},
		"bad sender":           {[]string{"-f", "a <b", "bob@example.net"}, letter, 65, "sender", ""},
		"dash address":         {[]string{"--", "-dash@example.net"}, letter, 0, "", "-dash@example.net"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, "")
			s := h.serve(&server{})
			h.send(tc.stdin, tc.args...).want(t, tc.status, tc.stderr)
			var to []string
			for _, m := range s.mails() {
				to = append(to, m.to...)
				if m.opts.UTF8 {
					t.Error("asks for SMTPUTF8")
				}
			}
			if got := strings.Join(to, " "); got != tc.to {
				t.Errorf("queued for %s, want %s", got, tc.to)
			}
		})
	}
}
