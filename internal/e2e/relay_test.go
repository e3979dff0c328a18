package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/smtptest"
)

// smarthost writes a table of the configuration.
func smarthost(address string, lines ...string) string {
	return fmt.Sprintf("[[smarthost]]\naddress = %q\n%s\n", address, strings.Join(lines, "\n"))
}

const clear = `tls = "none"`

// reload has the daemon read the configuration that is written now.
func (h *host) reload() {
	h.t.Helper()
	before := strings.Count(h.proc.log.String(), "configuration reloaded")
	h.configure()
	h.proc.signal(syscall.SIGHUP)
	until(h.t, "the configuration is reloaded", func() bool {
		return strings.Count(h.proc.log.String(), "configuration reloaded") > before
	})
}

// TestTwoSmarthosts: the second takes what the first does not answer, and nothing
// that the first has refused for good.
func TestTwoSmarthosts(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	sender := h.net.sink("sender.test", smtptest.Options{})
	dead := h.net.address().String()
	busy := h.net.script("busy.test", smtptest.Script{smtptest.Banner: {"421 4.3.2 busy" + smtptest.Drop}})
	strict := h.net.refusing("strict.test")
	second := h.net.sink("second.test", smtptest.Options{})
	direct := `for_recipients = ["*@%s.test"]`
	for domain, first := range map[string]string{"a": dead, "b": busy.Addr().String(), "c": strict.Addr().String()} {
		h.tables += smarthost(first, clear, fmt.Sprintf(direct, domain)) + smarthost(second.Addr().String(), clear, fmt.Sprintf(direct, domain))
	}
	h.configure()
	h.start()
	for _, domain := range []string{"a", "b", "c"} {
		h.send(mail("for-"+domain), "to@"+domain+".test")
	}
	h.emptied()
	for domain, want := range map[string]int{"a": 1, "b": 1, "c": 0} {
		if n := copies(second, "for-"+domain); n != want {
			t.Errorf("the second smarthost got %d messages for %s.test, want %d", n, domain, want)
		}
	}
	if copies(sender, "for-c") != 1 || sender.Count() != 1 {
		t.Errorf("%d reports, want one, of what was refused", sender.Count())
	}
}

// TestLogin: a wrong password, or a relay that wants none, keeps mail waiting; the
// right one in the file lets it go, without a restart.
func TestLogin(t *testing.T) {
	t.Parallel()
	ca := smtptest.NewCA(t)
	h := newHost(t, nil)
	at := h.net.address()
	h.net.record("relay.test. 300 IN A %s\n", at.Addr())
	relay := h.net.start(smtptest.Options{
		Addr: at.String(), TLS: ca.Server(t, "relay.test"), Users: map[string]string{"me": "right"},
	})
	h.settings["tls.ca_file"] = quoted(h.write("ca.pem", string(ca.PEM()), 0o644))
	password := h.write("password", "wrong\n", 0o600)
	h.tables = smarthost("relay.test:"+portOf(at.String()), `username = "me"`, fmt.Sprintf("password_file = %q", password))
	h.configure()
	h.start()
	h.send(mail("secret"), "to@good.test")
	h.deferred("535")
	h.write("password", "right\n", 0o600)
	h.emptied()
	if m := relay.Messages(); len(m) != 1 || m[0].User != "me" || !m[0].TLS {
		t.Errorf("the relay got %d messages, want one from user me", len(m))
	}
	if strings.Contains(h.proc.log.String(), "wrong") || strings.Contains(h.proc.log.String(), "right") {
		t.Error("the log tells the password")
	}
}

// TestSecretForAll: a password that others can read is refused at the start.
func TestSecretForAll(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	password := h.write("password", "secret\n", 0o644)
	h.tables = smarthost("127.0.0.1:1", clear, `username = "me"`, fmt.Sprintf("password_file = %q", password))
	h.configure()
	r := h.daemonFails()
	if r.code != 78 {
		t.Errorf("exit %d, want 78", r.code)
	}
	oneLine(t, "postrider", r.stderr, "chmod 600 "+password)
}

// TestReloadReroutes: mail queued for a smarthost that is dead goes by another as
// soon as the configuration names one.
func TestReloadReroutes(t *testing.T) {
	t.Parallel()
	h := newHost(t, settings{"retry.first": quoted("1h"), "retry.max": quoted("1h")})
	h.tables = smarthost(h.net.address().String(), clear)
	h.configure()
	h.start()
	h.send(mail("stuck"), "to@good.test")
	h.deferred("connection refused")
	relay := h.net.sink("relay.test", smtptest.Options{})
	h.tables = smarthost(relay.Addr().String(), clear)
	h.reload()
	if r := run(t, h.command(me, "sendmail", "-q")); r.code != 0 {
		t.Fatalf("sendmail -q: exit %d: %s", r.code, r.stderr)
	}
	h.emptied()
	if n := copies(relay, "stuck"); n != 1 {
		t.Errorf("%d copies arrived, want one", n)
	}
}

// TestBrokenReload: a configuration that cannot be read changes nothing, and the
// log says where it is wrong.
func TestBrokenReload(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	relay := h.net.sink("relay.test", smtptest.Options{})
	h.tables = smarthost(relay.Addr().String(), clear)
	h.configure()
	h.start()
	good := h.tables
	for _, broken := range []string{
		"[[smarthost]]\nadress = \"127.0.0.1:1\"\n",
		"[[smarthost]\n",
		smarthost("127.0.0.1:1", `tls = "perhaps"`),
		"[tls]\nca_file = \"/nonexistent\"\n",
	} {
		before := strings.Count(h.proc.log.String(), "reload failed")
		h.tables = broken
		h.configure()
		h.proc.signal(syscall.SIGHUP)
		until(t, "the reload fails", func() bool { return strings.Count(h.proc.log.String(), "reload failed") > before })
	}
	if !h.proc.log.has("postrider.toml:") || !h.proc.log.has("did you mean") {
		t.Error("the log does not say where the configuration is wrong")
	}
	// Programs read the file that is there, so that they must not see the broken one.
	h.tables = good
	h.configure()
	h.send(mail("as before"), "to@good.test")
	h.emptied()
	if n := copies(relay, "as before"); n != 1 {
		t.Errorf("%d copies arrived by the old smarthost, want one", n)
	}
}

// TestRelayRefusesUs: what a relay says before it hears of the message is trouble of
// our own, and no reason to give mail up.
func TestRelayRefusesUs(t *testing.T) {
	t.Parallel()
	h := newHost(t, nil)
	sender := h.net.sink("sender.test", smtptest.Options{})
	relay := h.net.script("relay.test", smtptest.Script{smtptest.Banner: {"554 5.7.1 no access" + smtptest.Drop, "220 mx"}})
	h.tables = smarthost(relay.Addr().String(), clear, `for_recipients = ["*@good.test"]`)
	h.configure()
	h.start()
	h.send(mail("waits"), "to@good.test")
	h.emptied()
	if n := bodiesWith(relay, mailBody("waits")); n != 1 || sender.Count() != 0 {
		t.Errorf("%d copies and %d reports, want one and none", n, sender.Count())
	}
}
