package delivery_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"postrider/delivery"
	"postrider/delivery/local"
	"postrider/delivery/smtp"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
	"postrider/mx"
	"postrider/policy"
	"postrider/queue"
	"postrider/queue/schedule"
)

const text = "From: a@sender.test\nSubject: x\n\nhello\n.dot\n"

// bodies is a store of one message.
type bodies string

func (b bodies) Body(context.Context, queue.ID) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader(string(b))), nil
}

func (b bodies) Get(context.Context, queue.ID) (*queue.Entry, error) { return nil, queue.ErrNotFound }

// bench is an Agent with real DNS and real servers around it.
type bench struct {
	dns     *dnstest.Server
	port    uint16
	options policy.Options
	mail    string
}

func newBench(t *testing.T, zone string) *bench {
	return &bench{dns: dnstest.New(t, zone), mail: t.TempDir(), options: policy.Options{LocalDomains: []string{"sender.test"}}}
}

// sink starts a server on one of the loopback network's addresses; all of a test
// share a port, as MX hosts do.
func (b *bench) sink(t *testing.T, ip string, o smtptest.Options) *smtptest.Sink {
	o.Addr = fmt.Sprintf("%s:%d", ip, b.port)
	s := smtptest.NewSink(t, o)
	b.port = s.Addr().Port()
	return s
}

func (b *bench) agent(t *testing.T) *delivery.Agent {
	t.Helper()
	resolver, err := mx.New(mx.Options{Servers: []string{b.dns.Addr}, Timeout: 500 * time.Millisecond, Rounds: 1,
		Self: mx.Self{Names: []string{"sender.test"}, Port: b.port}})
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := local.New(local.Options{Template: "mbox:" + b.mail + "/{user}", Hostname: "sender.test",
		Lookup: func(name string) (*local.User, error) {
			if name != "bob" {
				return nil, nil
			}
			return &local.User{Name: "bob", UID: os.Getuid(), GID: os.Getgid(), Home: "/"}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	client := smtp.New(smtp.Options{Timeouts: smtp.Timeouts{Connect: 2 * time.Second, Greeting: 2 * time.Second, Hello: 2 * time.Second}})
	t.Cleanup(client.Close)
	return delivery.New(delivery.Options{Messages: bodies(text), Router: policy.NewRoutes(b.options), Resolver: resolver,
		Client: client, Mailboxes: boxes, Expander: &aliases.Expander{
			Table: aliases.NewFiles(nil).Table, IsLocal: policy.NewRoutes(b.options).IsLocal, Origin: "sender.test",
			LookupUser: func(name string) (*aliases.User, error) {
				if name != "bob" {
					return nil, nil
				}
				return &aliases.User{Name: "bob", UID: os.Getuid(), Home: "/"}, nil
			},
		}, Hostname: "sender.test", Port: b.port})
}

// work is a leased delivery for the recipients, queued for the destination.
func work(destination string, to ...string) *queue.Work {
	m := &queue.Message{ID: 1, Size: int64(len(text)), Envelope: queue.Envelope{ReversePath: addr("a@sender.test")}}
	w := &queue.Work{Message: m, Delivery: queue.Delivery{Destination: destination}}
	for i, rcpt := range to {
		m.Recipients = append(m.Recipients, queue.Recipient{Address: addr(rcpt)})
		w.Delivery.Recipients = append(w.Delivery.Recipients, queue.DeliveryRecipient{Index: i})
	}
	return w
}

func addr(s string) address.Address {
	i := strings.LastIndexByte(s, '@')
	return address.Address{Local: s[:i], Domain: s[i+1:]}
}

// outcomes prints results in the order of recipients.
func outcomes(v schedule.Verdict) string {
	list := slices.Clone(v.Attempt.Outcomes)
	slices.SortFunc(list, func(a, b queue.Outcome) int { return a.Index - b.Index })
	words := make([]string, len(list))
	for i, o := range list {
		words[i] = o.Result.String() + " " + o.Status
	}
	return strings.Join(words, ", ")
}

func reject(code int, status gosmtp.EnhancedCode, words string) *gosmtp.SMTPError {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: status, Message: words}
}

func TestLookupOutcomes(t *testing.T) {
	b := newBench(t, `
		null.test.   60 IN MX 0 .
		nohost.test. 60 IN MX 10 gone.test.
		empty.test.  60 IN TXT "nothing here"
		self.test.   60 IN MX 10 sender.test.
		sender.test. 60 IN A 127.0.0.1
		dead.test.   60 IN MX 10 a.dead.test.
		a.dead.test. 60 IN A 127.0.0.9
	`)
	b.sink(t, "127.0.0.1", smtptest.Options{})
	b.dns.ServFail("servfail.test")
	b.dns.Silence("silent.test")
	for domain, want := range map[string]string{
		"nxdomain.test": "failed 5.1.2",
		"null.test":     "failed 5.1.10",
		"nohost.test":   "failed 5.4.4",
		"empty.test":    "failed 5.4.4",
		"self.test":     "failed 5.4.6",
		"servfail.test": "deferred 4.4.3",
		"silent.test":   "deferred 4.4.3",
		"dead.test":     "deferred 4.4.1",
	} {
		v := b.agent(t).Deliver(t.Context(), work(domain, "x@"+domain))
		if got := outcomes(v); got != want {
			t.Errorf("%s: %s, want %s (%+v)", domain, got, want, v.Attempt.Outcomes)
		}
		if wantHealth := domain == "dead.test"; (v.Health == schedule.Unreachable) != wantHealth {
			t.Errorf("%s: health %d", domain, v.Health)
		}
	}
}

func TestRecipientsAreDecidedOneByOne(t *testing.T) {
	b := newBench(t, "many.test. 60 IN MX 10 mx.many.test.\nmx.many.test. 60 IN A 127.0.0.2\n")
	s := b.sink(t, "127.0.0.2", smtptest.Options{DSN: true, OnRcpt: func(_ *smtptest.Message, to string, _ int) error {
		switch to {
		case "no@many.test":
			return reject(550, gosmtp.EnhancedCode{5, 1, 1}, "no such user")
		case "later@many.test":
			return reject(451, gosmtp.EnhancedCode{4, 7, 1}, "grey")
		}
		return nil
	}})
	v := b.agent(t).Deliver(t.Context(), work("many.test", "yes@many.test", "no@many.test", "later@many.test", "also@many.test"))
	if got, want := outcomes(v), "delivered 2.0.0, failed 5.1.1, deferred 4.7.1, delivered 2.0.0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if v.Health != schedule.Good {
		t.Errorf("health %d: refused recipients are no reason to avoid a host", v.Health)
	}
	if s.Count() != 1 || len(s.Messages()[0].To) != 2 {
		t.Errorf("%d transactions: %+v", s.Count(), s.Messages())
	}
	for _, o := range v.Attempt.Outcomes {
		if o.Result == queue.Failed && (o.Remote != "mx.many.test" || o.Code != 550 || !strings.Contains(o.Reply, "no such user")) {
			t.Errorf("the reply is not kept: %+v", o)
		}
	}
	if data := string(s.Messages()[0].Data); !strings.HasSuffix(data, "hello\r\n.dot\r\n") {
		t.Errorf("content arrived as %q", data)
	}
}

func TestNextHostTakesOver(t *testing.T) {
	b := newBench(t, `
		two.test. 60 IN MX 10 a.two.test.
		two.test. 60 IN MX 20 b.two.test.
		two.test. 60 IN MX 5 down.two.test.
		a.two.test. 60 IN A 127.0.0.2
		b.two.test. 60 IN A 127.0.0.3
		down.two.test. 60 IN A 127.0.0.8
	`)
	busy := b.sink(t, "127.0.0.2", smtptest.Options{OnMail: func(*smtptest.Message) error { return reject(451, gosmtp.EnhancedCode{4, 3, 2}, "busy") }})
	good := b.sink(t, "127.0.0.3", smtptest.Options{})
	v := b.agent(t).Deliver(t.Context(), work("two.test", "x@two.test"))
	if got := outcomes(v); got != "relayed 2.0.0" || good.Count() != 1 || busy.Count() != 0 {
		t.Errorf("%s; tries %+v", got, v.Attempt.Tries)
	}
	if len(v.Attempt.Tries) != 3 || v.Health != schedule.Good {
		t.Errorf("health %d, tries %+v", v.Health, v.Attempt.Tries)
	}
}

func TestPermanentRefusalOfMailIsFinal(t *testing.T) {
	b := newBench(t, "two.test. 60 IN MX 10 a.two.test.\ntwo.test. 60 IN MX 20 b.two.test.\na.two.test. 60 IN A 127.0.0.2\nb.two.test. 60 IN A 127.0.0.3\n")
	b.sink(t, "127.0.0.2", smtptest.Options{OnMail: func(*smtptest.Message) error { return reject(550, gosmtp.EnhancedCode{5, 7, 1}, "not you") }})
	other := b.sink(t, "127.0.0.3", smtptest.Options{})
	v := b.agent(t).Deliver(t.Context(), work("two.test", "x@two.test", "y@two.test"))
	if got := outcomes(v); got != "failed 5.7.1, failed 5.7.1" || other.Count() != 0 {
		t.Errorf("%s, the other host got %d", got, other.Count())
	}
}

func TestMovedRecipientsAreNotTried(t *testing.T) {
	b := newBench(t, "new.test. 60 IN MX 10 mx.new.test.\nmx.new.test. 60 IN A 127.0.0.2\n")
	s := b.sink(t, "127.0.0.2", smtptest.Options{})
	v := b.agent(t).Deliver(t.Context(), work("relay:old.test:25", "x@new.test"))
	if !v.Uncounted || v.Move[0] != "new.test" || s.Count() != 0 || len(v.Attempt.Outcomes) != 0 {
		t.Errorf("%+v", v)
	}
}

func TestLocalDelivery(t *testing.T) {
	b := newBench(t, "")
	v := b.agent(t).Deliver(t.Context(), work(policy.LocalDestination, "bob@sender.test", "nobody-here@sender.test"))
	if got := outcomes(v); got != "delivered 2.0.0, failed 5.1.1" {
		t.Fatalf("%s: %+v", got, v.Attempt.Outcomes)
	}
	box, err := os.ReadFile(filepath.Join(b.mail, "bob"))
	if err != nil || !strings.Contains(string(box), "\n\nhello\n.dot\n") {
		t.Errorf("mailbox %q, %v", box, err)
	}
}

// TestSmarthostTroubleBouncesNothing has one case a kind of trouble with a relay
// of our own; none of it is the message's fault.
func TestSmarthostTroubleBouncesNothing(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(secret, []byte("wrong\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := os.WriteFile(open, []byte("p\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	login := smtptest.NewSink(t, smtptest.Options{Users: map[string]string{"me": "right"}, PlainAuth: true})
	closed := smtptest.NewScript(t, smtptest.Script{smtptest.Banner: {"554 5.7.1 go away"}}, nil)
	plain := smtptest.NewSink(t, smtptest.Options{})
	noMail := smtptest.NewScript(t, smtptest.Script{smtptest.Banner: {"521 5.3.2 this host takes no mail"}}, nil)
	ourselves := smtptest.NewScript(t, smtptest.Script{"EHLO": {"250 sender.test"}}, nil)
	for name, tt := range map[string]struct {
		relay policy.Smarthost
		want  string
	}{
		"name unknown":         {policy.Smarthost{Address: "gone.test:25"}, "4.4.3"},
		"refused":              {policy.Smarthost{Address: "127.0.0.1:9"}, "4.4.1"},
		"banner 554":           {policy.Smarthost{Address: closed.Addr().String()}, "4.7.1"},
		"banner 521":           {policy.Smarthost{Address: noMail.Addr().String()}, "4."},
		"our own name":         {policy.Smarthost{Address: ourselves.Addr().String()}, "4.4.6"},
		"login refused":        {policy.Smarthost{Address: login.Addr().String(), Username: "me", PasswordFile: secret}, "4.7.8"},
		"password for all":     {policy.Smarthost{Address: plain.Addr().String(), Username: "me", PasswordFile: open}, "4.3.5"},
		"no password file":     {policy.Smarthost{Address: plain.Addr().String(), Username: "me", PasswordFile: open + "x"}, "4.3.5"},
		"no TLS but demanded":  {policy.Smarthost{Address: plain.Addr().String(), TLS: policy.Verified}, "4.7."},
		"TLS where none is":    {policy.Smarthost{Address: plain.Addr().String(), TLS: policy.Verified, Implicit: true}, "4."},
		"no AUTH but demanded": {policy.Smarthost{Address: plain.Addr().String(), Username: "me", PasswordFile: secret}, "4.7."},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, "")
			b.options.Smarthosts = []policy.Smarthost{tt.relay}
			w := work(policy.NewRoutes(b.options).Destination(addr("a@sender.test"), addr("x@far.test")), "x@far.test")
			v := b.agent(t).Deliver(t.Context(), w)
			if got := outcomes(v); !strings.HasPrefix(got, "deferred "+tt.want) {
				t.Errorf("%s: %+v", got, v.Attempt)
			}
		})
	}
}

// TestBrokenOffLeavesNoOutcome: that we were told to stop says nothing of the
// recipient.
func TestBrokenOffLeavesNoOutcome(t *testing.T) {
	hanging := smtptest.NewScript(t, smtptest.Script{"RCPT": {smtptest.Hang}}, nil)
	b := newBench(t, "")
	b.options.Smarthosts = []policy.Smarthost{{Address: hanging.Addr().String()}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	verdict := make(chan schedule.Verdict, 1)
	a := b.agent(t)
	go func() {
		verdict <- a.Deliver(ctx, work("relay:"+hanging.Addr().String(), "x@far.test"))
	}()
	for limit := time.After(10 * time.Second); !slices.ContainsFunc(hanging.Lines(), func(l string) bool { return strings.HasPrefix(l, "RCPT") }); {
		select {
		case <-limit:
			t.Fatalf("the host heard only %q", hanging.Lines())
		case <-time.After(time.Millisecond):
		}
	}
	stop()
	if v := <-verdict; !v.Uncounted || len(v.Attempt.Outcomes) != 0 || v.Health != schedule.Neutral {
		t.Errorf("%+v", v)
	}
}

func TestSecondSmarthostTakesOver(t *testing.T) {
	good := smtptest.NewSink(t, smtptest.Options{})
	b := newBench(t, "relay.test. 60 IN A 127.0.0.1\n")
	b.options.Smarthosts = []policy.Smarthost{{Address: "127.0.0.1:9"}, {Address: fmt.Sprintf("relay.test:%d", good.Addr().Port())}}
	w := work(policy.NewRoutes(b.options).Destination(addr("a@sender.test"), addr("x@far.test")), "x@far.test", "y@away.test")
	v := b.agent(t).Deliver(t.Context(), w)
	if got := outcomes(v); got != "relayed 2.0.0, relayed 2.0.0" || good.Count() != 1 {
		t.Errorf("%s, %d transactions", got, good.Count())
	}
}

func TestSiteIsTheSetOfHosts(t *testing.T) {
	b := newBench(t, "a.test. 60 IN MX 10 mx.test.\nb.test. 60 IN MX 20 mx.test.\nc.test. 60 IN MX 10 other.test.\nmx.test. 60 IN A 127.0.0.2\nother.test. 60 IN A 127.0.0.2\n")
	b.port = 2525
	a := b.agent(t)
	if x, y := a.Site(t.Context(), "a.test"), a.Site(t.Context(), "b.test"); x != y {
		t.Errorf("same hosts, sites %q and %q", x, y)
	}
	if x, y := a.Site(t.Context(), "a.test"), a.Site(t.Context(), "c.test"); x == y {
		t.Errorf("other hosts, same site %q", x)
	}
	if got := a.Site(t.Context(), "nowhere.test"); got != "nowhere.test" {
		t.Errorf("site of an unknown domain is %q", got)
	}
}
