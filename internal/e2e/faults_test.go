package e2e

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
)

// TestDNSDead: while no name server answers mail waits, and when one does again it
// is delivered.
func TestDNSDead(t *testing.T) {
	t.Parallel()
	dead := map[string]dnstest.Behaviour{
		"fails":   {Rcode: "SERVFAIL"},
		"refuses": {Rcode: "REFUSED"},
		"garbage": {Raw: []byte("..no DNS message at all")},
	}
	for name, behaviour := range dead {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := startHost(t, nil)
			sink := h.net.sink("good.test", smtptest.Options{})
			h.net.dns.Set("", "", behaviour)
			h.send(mail("waits"), "to@good.test")
			h.deferred("good.test")
			h.net.dns.Reset()
			h.emptied()
			if n := copies(sink, "waits"); n != 1 || sink.Count() != 1 {
				t.Errorf("%d copies arrived, %d messages in all, want 1 and 1", n, sink.Count())
			}
		})
	}
}

// TestDNSGone: nobody listens where the name server should be. Fixing the
// configuration fixes the queued mail.
func TestDNSGone(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	sink := h.net.sink("good.test", smtptest.Options{})
	right := h.settings["dns.servers"]
	h.settings["dns.servers"] = "[" + quoted(h.net.address().String()) + "]"
	h.configure()
	h.start()
	h.send(mail("waits"), "to@good.test")
	h.deferred("refused")
	h.settings["dns.servers"] = right
	h.reload()
	h.emptied()
	if n := copies(sink, "waits"); n != 1 {
		t.Errorf("%d copies arrived, want one", n)
	}
}

// TestDNSSilent: a domain whose name servers do not answer delays nobody else's
// mail, nor the daemon's end.
func TestDNSSilent(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	good, slow := h.net.sink("good.test", smtptest.Options{}), h.net.sink("slow.test", smtptest.Options{})
	h.net.dns.Silence("slow.test")
	for range 10 {
		h.send(mail("slow"), "to@slow.test")
	}
	until(t, "the name server is asked", func() bool { return h.net.dns.Queries("slow.test", "") > 0 })
	h.send(mail("quick"), "to@good.test")
	until(t, "other mail is delivered", func() bool { return copies(good, "quick") == 1 })
	h.proc.stop()
	h.net.dns.Reset()
	h.start()
	h.emptied()
	if n := copies(slow, "slow"); n != 10 {
		t.Errorf("%d of 10 messages arrived", n)
	}
}

// TestServerFaults: whatever a mail server does to a session at the first attempt,
// the message waits and is delivered at the second; once, unless the first came to
// the final dot.
func TestServerFaults(t *testing.T) {
	t.Parallel()
	const ehlo = "250-mx.test\n250 8BITMIME"
	garbage := strings.Repeat("\x00\xff\x1b[31m%s\r", 200)
	faults := map[string]struct {
		script smtptest.Script
		copies int
	}{
		"banner-421":     {smtptest.Script{smtptest.Banner: {"421 4.3.2 no mail today" + smtptest.Drop, "220 mx"}}, 1},
		"banner-554":     {smtptest.Script{smtptest.Banner: {"554 5.7.1 go away" + smtptest.Drop, "220 mx"}}, 1},
		"banner-drop":    {smtptest.Script{smtptest.Banner: {smtptest.Drop, "220 mx"}}, 1},
		"banner-garbage": {smtptest.Script{smtptest.Banner: {garbage, "220 mx"}}, 1},
		"banner-endless": {smtptest.Script{smtptest.Banner: {smtptest.Endless, "220 mx"}}, 1},
		"ehlo-drop":      {smtptest.Script{"EHLO": {smtptest.Drop, ehlo}}, 1},
		"ehlo-then-drop": {smtptest.Script{"EHLO": {ehlo + smtptest.Drop, ehlo}}, 1},
		"ehlo-garbage":   {smtptest.Script{"EHLO": {garbage, ehlo}}, 1},
		"ehlo-endless":   {smtptest.Script{"EHLO": {smtptest.Endless, ehlo}}, 1},
		"mail-drop":      {smtptest.Script{"MAIL": {smtptest.Drop, "250 ok"}}, 1},
		"mail-421":       {smtptest.Script{"MAIL": {"421 4.3.2 closing" + smtptest.Drop, "250 ok"}}, 1},
		"mail-then-drop": {smtptest.Script{"MAIL": {"250 ok" + smtptest.Drop, "250 ok"}}, 1},
		"mail-endless":   {smtptest.Script{"MAIL": {smtptest.Endless, "250 ok"}}, 1},
		"rcpt-drop":      {smtptest.Script{"RCPT": {smtptest.Drop, "250 ok"}}, 1},
		"rcpt-421":       {smtptest.Script{"RCPT": {"421 4.3.2 closing" + smtptest.Drop, "250 ok"}}, 1},
		"rcpt-then-drop": {smtptest.Script{"RCPT": {"250 ok" + smtptest.Drop, "250 ok"}}, 1},
		"data-drop":      {smtptest.Script{"DATA": {smtptest.Drop, "354 go on"}}, 1},
		"data-garbage":   {smtptest.Script{"DATA": {garbage, "354 go on"}}, 1},
		"data-then-drop": {smtptest.Script{"DATA": {"354 go on" + smtptest.Drop, "354 go on"}}, 1},
		"body-drop":      {smtptest.Script{smtptest.Body: {smtptest.Drop, ""}}, 1},
		"dot-drop":       {smtptest.Script{smtptest.Dot: {smtptest.Drop, "250 queued"}}, 2},
		"dot-451":        {smtptest.Script{smtptest.Dot: {"451 4.3.0 disk trouble", "250 queued"}}, 2},
		"dot-garbage":    {smtptest.Script{smtptest.Dot: {garbage, "250 queued"}}, 2},
		"dot-endless":    {smtptest.Script{smtptest.Dot: {smtptest.Endless, "250 queued"}}, 2},
	}
	h := startHost(t, nil)
	sender := h.net.sink("sender.test", smtptest.Options{})
	servers := map[string]*smtptest.Scripted{}
	for name, fault := range faults {
		servers[name] = h.net.script(name+".test", fault.script)
		h.send(mail(name), "to@"+name+".test")
	}
	h.emptied()
	for name, fault := range faults {
		if n := bodiesWith(servers[name], mailBody(name)); n != fault.copies {
			t.Errorf("%s: the server got %d copies, want %d", name, n, fault.copies)
		}
		if n := servers[name].Connections(); n < 2 && name != "dot-451" {
			t.Errorf("%s: %d connections: the fault did not happen", name, n)
		}
	}
	if sender.Count() != 0 {
		t.Errorf("%d reports were sent, of trouble that passed:\n%s", sender.Count(), sender.Messages()[0].Data)
	}
}

func mailBody(token string) string { return "The text of " + token + "." }

// TestServerGone: nobody listens where the mail server should be, then somebody does.
func TestServerGone(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	at := h.net.domain("gone.test")
	h.send(mail("waits"), "to@gone.test")
	h.deferred("connection refused")
	sink := h.net.start(smtptest.Options{Addr: at.String()})
	h.emptied()
	if n := copies(sink, "waits"); n != 1 {
		t.Errorf("%d copies arrived, want one", n)
	}
}

// TestServerStopsReading: servers that stop in the middle hold up their own mail
// and nothing else. When the daemon is told to stop it gives those deliveries back,
// and the next one makes them.
func TestServerStopsReading(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	good := h.net.sink("good.test", smtptest.Options{})
	large := strings.Repeat(strings.Repeat("0123456789", 7)+"\n", 8<<20/71)
	hanging := map[string]smtptest.Script{
		"banner":  {smtptest.Banner: {smtptest.Hang, "220 mx"}},
		"trickle": {smtptest.Banner: {smtptest.Trickle, "220 mx"}},
		"ehlo":    {"EHLO": {smtptest.Hang, "250 mx"}},
		"rcpt":    {"RCPT": {smtptest.Hang, "250 ok"}},
		"body":    {smtptest.Body: {smtptest.Hang, ""}},
	}
	servers := map[string]*smtptest.Scripted{}
	for name, script := range hanging {
		servers[name] = h.net.script(name+".test", script)
		h.send(mail(name)+large, "to@"+name+".test")
	}
	until(t, "all servers hang", func() bool {
		for _, s := range servers {
			if s.Connections() == 0 {
				return false
			}
		}
		return true
	})
	h.send(mail("quick"), "to@good.test")
	until(t, "other mail is delivered", func() bool { return copies(good, "quick") == 1 })
	h.proc.signal(os.Interrupt)
	if code := h.proc.exit(10 * time.Second); code != 0 {
		t.Errorf("the daemon ended with %d", code)
	}
	h.start()
	h.emptied()
	for name, s := range servers {
		if n := bodiesWith(s, mailBody(name)); n != 1 {
			t.Errorf("%s: the server got %d copies, want one", name, n)
		}
	}
}

// certificates are those that do not prove who a server is.
func certificates(t *testing.T, ca *smtptest.CA, name string) map[string]smtptest.Options {
	t.Helper()
	return map[string]smtptest.Options{
		"expired":     {TLS: ca.NewLeaf(t, smtptest.Leaf{Names: []string{name}, NotAfter: time.Now().Add(-time.Hour)})},
		"mismatched":  {TLS: ca.NewLeaf(t, smtptest.Leaf{Names: []string{"other.test"}})},
		"self-signed": {TLS: ca.NewLeaf(t, smtptest.Leaf{Names: []string{name}, SelfSigned: true})},
		"foreign":     {TLS: smtptest.NewCA(t).Server(t, name)},
		"none":        {},
	}
}

// TestBadCertificates: where a verified certificate is demanded, mail waits for one
// and is not sent a byte before; elsewhere it is sent, encrypted as well as can be.
func TestBadCertificates(t *testing.T) {
	t.Parallel()
	ca := smtptest.NewCA(t)
	for name, options := range certificates(t, ca, "mx.strict.test") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			h.settings["tls.ca_file"] = quoted(h.write("ca.pem", string(ca.PEM()), 0o644))
			h.tables = "[[tls.destination]]\nmatch = \"strict.test\"\nrequire = \"secure\"\n"
			h.configure()
			strict, lax := h.net.sink("strict.test", options), h.net.sink("lax.test", options)
			h.start()
			h.send(mail("strict"), "to@strict.test")
			h.deferred("")
			reason := h.one().Recipients[0].LastReply
			if !strings.Contains(reason, "TLS") && !strings.Contains(reason, "certificate") {
				t.Errorf("the reason is %q", reason)
			}
			h.send(mail("lax"), "to@lax.test")
			until(t, "mail without demands is delivered", func() bool { return lax.Count() == 1 })
			if got := lax.Messages()[0].TLS; got != (options.TLS != nil) {
				t.Errorf("encrypted: %v, offered: %v", got, options.TLS != nil)
			}
			if strict.Count() != 0 {
				t.Fatal("mail was sent to a server that did not prove who it is")
			}
			strict.Close()
			mended := h.net.start(smtptest.Options{Addr: strict.Addr().String(), TLS: ca.Server(t, "mx.strict.test")})
			h.emptied()
			if m := mended.Messages(); len(m) != 1 || !m[0].TLS || !bytes.Contains(m[0].Data, []byte("strict")) {
				t.Errorf("the mended server got %d messages, want one, encrypted", len(m))
			}
		})
	}
}

// TestCertificateOfSmarthost: the same for a smarthost, by its name in the
// configuration.
func TestCertificateOfSmarthost(t *testing.T) {
	t.Parallel()
	ca := smtptest.NewCA(t)
	for name, options := range certificates(t, ca, "relay.test") {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHost(t, nil)
			at := h.net.address()
			h.net.record("relay.test. 300 IN A %s\n", at.Addr())
			h.settings["tls.ca_file"] = quoted(h.write("ca.pem", string(ca.PEM()), 0o644))
			h.tables = smarthost("relay.test:"+portOf(at.String()), `tls = "starttls"`)
			h.configure()
			options.Addr = at.String()
			bad := h.net.start(options)
			h.start()
			h.send(mail("waits"), "to@good.test")
			h.deferred("")
			bad.Close()
			mended := h.net.start(smtptest.Options{Addr: at.String(), TLS: ca.Server(t, "relay.test")})
			h.emptied()
			if m := mended.Messages(); bad.Count() != 0 || len(m) != 1 || !m[0].TLS {
				t.Errorf("the bad relay got %d messages, the mended one %d; want 0 and 1", bad.Count(), len(m))
			}
		})
	}
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// TestPermanentRefusals: what a server refuses for good at any stage comes back,
// once, with its words.
func TestPermanentRefusals(t *testing.T) {
	t.Parallel()
	h := startHost(t, nil)
	sender := h.net.sink("sender.test", smtptest.Options{})
	h.net.refusing("rcpt.test")
	h.net.script("mail.test", smtptest.Script{"MAIL": {"550 5.7.1 not from you"}})
	h.net.script("data.test", smtptest.Script{"DATA": {"554 5.7.0 not like this"}})
	h.net.sink("dot.test", smtptest.Options{OnData: func(*smtptest.Message) error {
		return &smtp.SMTPError{Code: 552, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "do not like it"}
	}})
	h.net.record("null.test. 300 IN MX 0 .\n")
	words := map[string]string{
		"rcpt": "550 5.1.1 <to@rcpt.test>: no such user here", "mail": "550 5.7.1 not from you", "data": "554 5.7.0 not like this",
		"dot": "552 5.6.0 do not like it", "null": "null.test", "nowhere": "nowhere.test",
	}
	for name := range words {
		h.send(mail("token-"+name), "to@"+name+".test")
	}
	h.emptied()
	for name, said := range words {
		if copies(sender, "token-"+name) != 1 || copies(sender, said) == 0 {
			t.Errorf("%s: %d reports with its subject, %d with %q; want one", name, copies(sender, "token-"+name), copies(sender, said), said)
		}
	}
}
