package command_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"postrider/internal/dnstest"
)

const zone = `
	far.test. MX 20 mx2.far.test.
	far.test. MX 10 mx1.far.test.
	mx1.far.test. A 192.0.2.1
	mx1.far.test. AAAA 2001:db8::1
	mx2.far.test. A 192.0.2.2
	bank.test. A 192.0.2.3
	null.test. MX 0 .
	self.test. MX 10 host.test.
	host.test. A 192.0.2.99
	relay.test. A 192.0.2.9
`

// answer is the part of the report that programs rely on.
type answer struct {
	Address, From, Error string
	GivenFrom            string `json:"given_from"`
	HeaderFrom           string `json:"header_from"`
	RewrittenFrom        string `json:"rewritten_from"`
	Steps                []string
	Leaves               []struct {
		Address, From, Target, Route, Destination, TLS, Reason, Outcome, Error string
		Via                                                                    []string
		Smarthosts                                                             []struct{ Address, TLS, Username, Rule string }
		Hosts                                                                  []struct {
			Name      string
			Addresses []string
			Port      int
		}
	}
}

// summary writes the leaves so that they can be compared.
func (a *answer) summary() string {
	var b strings.Builder
	for _, l := range a.Leaves {
		fmt.Fprintf(&b, "%s from %s: %s", l.Address, l.From, l.Route)
		if l.Target != "" {
			fmt.Fprintf(&b, " into %s", l.Target)
		}
		if len(l.Via) > 0 {
			fmt.Fprintf(&b, " via %s", strings.Join(l.Via, " "))
		}
		for _, s := range l.Smarthosts {
			fmt.Fprintf(&b, ", relay %s (%s)", s.Address, s.Rule)
		}
		if l.TLS != "" {
			fmt.Fprintf(&b, ", TLS %s", l.TLS)
		}
		for _, h := range l.Hosts {
			fmt.Fprintf(&b, ", %s %s:%d", h.Name, strings.Join(h.Addresses, " "), h.Port)
		}
		if l.Outcome != "" {
			fmt.Fprintf(&b, ", %s", l.Outcome)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// routeHost has aliases and answers of a DNS server of its own; the first lines of
// its configuration are given.
func routeHost(t *testing.T, extra string) host {
	t.Helper()
	server := dnstest.New(t, zone)
	server.ServFail("sick.test")
	dir := t.TempDir()
	path := filepath.Join(dir, "aliases")
	text := "list: carol@far.test, dave@bank.test\nowner-list: daemon\nteam: daemon, |\"/bin/archive -x\", /var/log/team, nobody-there\nchief: bin\npair: bin, daemon\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return newHost(t, fmt.Sprintf("%s\n[dns]\nservers = [%q]\n[local]\naliases = [%q]\nforward = \"off\"\n", extra, server.Addr, path))
}

func (h host) route(t *testing.T, args ...string) (code int, a answer, stderr string) {
	t.Helper()
	code, out, stderr := h.run("", append([]string{"route", "--json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &a); err != nil {
		t.Fatalf("%q: %v in %q, %q", args, err, out, stderr)
	}
	return code, a, stderr
}

func TestRoute(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		args         []string
		code         int
		want         string
	}{
		{"straight to the hosts", "", []string{"--from", "a@b.test", "x@Far.test"}, 0,
			"x@Far.test from a@b.test: direct, TLS opportunistic, mx1.far.test 2001:db8::1 192.0.2.1:25, mx2.far.test 192.0.2.2:25\n"},
		{"without MX", "[[tls.destination]]\nmatch = \"bank.test\"\nrequire = \"secure\"\n", []string{"--from", "<>", "x@bank.test"}, 0,
			"x@bank.test from <>: direct, TLS secure, bank.test 192.0.2.3:25\n"},
		{"a domain that is not there", "", []string{"--from", "a@b.test", "x@gone.test"}, 0,
			"x@gone.test from a@b.test: direct, TLS opportunistic, gone.test :25, bounced\n"},
		{"a domain that takes no mail", "", []string{"--from", "a@b.test", "x@null.test"}, 0,
			"x@null.test from a@b.test: direct, TLS opportunistic, null.test :25, bounced\n"},
		{"trouble with the DNS", "", []string{"--from", "a@b.test", "x@sick.test"}, 0,
			"x@sick.test from a@b.test: direct, TLS opportunistic, sick.test :25, deferred\n"},
		{"a loop", "", []string{"--from", "a@b.test", "x@self.test"}, 0,
			"x@self.test from a@b.test: direct, TLS opportunistic, self.test :25, bounced\n"},
		{"smarthosts by rule", "[[smarthost]]\naddress = \"relay.test:587\"\nfor_recipients = [\"*@other.test\", \"*@far.test\"]\n[[smarthost]]\naddress = \"relay.test\"\ntls = \"implicit\"\n",
			[]string{"--from", "a@b.test", "x@far.test"}, 0,
			"x@far.test from a@b.test: relay, relay relay.test:587 (for_recipients = \"*@far.test\"), relay relay.test (for all mail to other hosts), TLS starttls, relay.test 192.0.2.9:587, relay.test 192.0.2.9:465\n"},
		{"a smarthost that is not there", "[[smarthost]]\naddress = \"gone.test:587\"\n", []string{"--from", "a@b.test", "x@far.test"}, 0,
			"x@far.test from a@b.test: relay, relay gone.test:587 (for all mail to other hosts), TLS starttls, gone.test :587, deferred\n"},
		{"masqueraded outside alone", "[[masquerade]]\nmatch = \"*@host.test\"\nto = \"*@corp.test\"\n", []string{"--from", "a", "x@bank.test"}, 0,
			"x@bank.test from a@corp.test: direct, TLS opportunistic, bank.test 192.0.2.3:25\n"},
		{"a user", "[[masquerade]]\nmatch = \"*@host.test\"\nto = \"*@corp.test\"\n", []string{"--from", "a", "Daemon+x"}, 0,
			"Daemon+x@host.test from a@host.test: local into mbox:/var/mail/daemon\n"},
		{"a user by an alias", "", []string{"--from", "a@b.test", "chief@host.test"}, 0,
			"bin@host.test from a@b.test: local into mbox:/var/mail/bin via chief@host.test\n"},
		{"a list with its owner", "", []string{"--from", "a@b.test", "list"}, 0,
			"carol@far.test from owner-list@host.test: direct via list@host.test, TLS opportunistic, mx1.far.test 2001:db8::1 192.0.2.1:25, mx2.far.test 192.0.2.2:25\n" +
				"dave@bank.test from owner-list@host.test: direct via list@host.test, TLS opportunistic, bank.test 192.0.2.3:25\n"},
		{"a bounce to a list", "", []string{"--from", "<>", "list"}, 0,
			"carol@far.test from <>: direct via list@host.test, TLS opportunistic, mx1.far.test 2001:db8::1 192.0.2.1:25, mx2.far.test 192.0.2.2:25\n" +
				"dave@bank.test from <>: direct via list@host.test, TLS opportunistic, bank.test 192.0.2.3:25\n"},
		{"targets of all kinds", "", []string{"--from", "a@b.test", "team"}, 0,
			"daemon@host.test from a@b.test: local into mbox:/var/mail/daemon via team@host.test\n" +
				"team@host.test from a@b.test: local into command:/bin/archive -x via team@host.test\n" +
				"team@host.test from a@b.test: local into file:/var/log/team via team@host.test\n" +
				"nobody-there@host.test from a@b.test: local via team@host.test, bounced\n"},
		{"an unknown user", "", []string{"--from", "a@b.test", "nobody-there@host.test"}, 67,
			"nobody-there@host.test from a@b.test: local, bounced\n"},
		{"no address", "", []string{"x@"}, 65, ""},
		{"two addresses", "", []string{"x@y.test, z@y.test"}, 65, ""},
		{"no sender", "", []string{"--from", "a@b@", "x@bank.test"}, 65, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, a, errs := routeHost(t, tt.config).route(t, tt.args...)
			if got := a.summary(); code != tt.code || got != tt.want {
				t.Errorf("exit %d, want %d; leaves\n%swant\n%s%s", code, tt.code, got, tt.want, errs)
			}
			if (a.Error != "") != (tt.code != 0) || strings.Count(errs, "\n") != min(code, 1) {
				t.Errorf("error %q, stderr %q", a.Error, errs)
			}
			for _, l := range a.Leaves {
				if (l.Outcome != "") != (l.Error != "") || l.Destination == "" || l.Reason == "" {
					t.Errorf("leaf %+v", l)
				}
			}
		})
	}
}

// TestRouteTellsMasquerade: what the sender becomes is said once, with the reason.
func TestRouteTellsMasquerade(t *testing.T) {
	h := routeHost(t, "[[masquerade]]\nmatch = \"*@host.test\"\nto = \"*@corp.test\"\n")
	_, a, _ := h.route(t, "--from", "a", "x@bank.test")
	if a.From != "a@host.test" || a.RewrittenFrom != "a@corp.test" || !slices.ContainsFunc(a.Steps, func(s string) bool { return strings.Contains(s, "masqueraded as a@corp.test") }) {
		t.Errorf("%+v", a)
	}
	if _, a, _ = h.route(t, "--from", "a", "daemon"); a.RewrittenFrom != "" {
		t.Errorf("masqueraded on this host: %+v", a)
	}
}

// TestRouteTellsSenderRules: the rules that bind who asks hold for the answer.
func TestRouteTellsSenderRules(t *testing.T) {
	uid := os.Getuid()
	rule := fmt.Sprintf("[submission]\ntrusted_users = []\n[[submission.sender_rules]]\nusers = [\"%d\"]\n", uid)
	code, a, _ := routeHost(t, rule+"reverse_path = \"forced@corp.test\"\nfrom = \"no@reply.test\"\n").route(t, "x@bank.test")
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	if code != 0 || a.From != "forced@corp.test" || a.GivenFrom != me.Username+"@host.test" || a.HeaderFrom != "no@reply.test" || len(a.Steps) != 2 {
		t.Errorf("exit %d, %+v", code, a)
	}
	code, a, errs := routeHost(t, rule+"allow = [\"me@corp.test\"]\n").route(t, "--from", "you@corp.test", "x@bank.test")
	if code != 77 || len(a.Leaves) != 0 || !strings.Contains(a.Error, "you@corp.test") || !strings.Contains(errs, "submission.sender_rules") {
		t.Errorf("exit %d, %+v, %q", code, a, errs)
	}
	code, a, _ = routeHost(t, fmt.Sprintf("[submission]\ndeny_users = [\"%d\"]\n", uid)).route(t, "x@bank.test")
	if code != 77 || !strings.Contains(a.Error, "may not submit mail") {
		t.Errorf("exit %d, %+v", code, a)
	}
}

// TestRouteFollowsForward reads what a user says, once for each.
func TestRouteFollowsForward(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: a .forward is its user's or root's")
	}
	h := routeHost(t, "")
	forward := filepath.Join(h.dir, "bin.forward")
	config, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.config, []byte(strings.Replace(string(config), `"off"`, fmt.Sprintf("%q", filepath.Join(h.dir, "{user}.forward")), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	const own = "bin@host.test from a@b.test: local into mbox:/var/mail/bin via chief@host.test\n"
	if _, a, _ := h.route(t, "--from", "a@b.test", "chief"); a.summary() != own {
		t.Errorf("without a .forward: %s", a.summary())
	}
	if err := os.WriteFile(forward, []byte("\\bin, eve@bank.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := "bin@host.test from a@b.test: local into mbox:/var/mail/bin via chief@host.test bin@host.test\n" +
		"eve@bank.test from a@b.test: direct via chief@host.test bin@host.test, TLS opportunistic, bank.test 192.0.2.3:25\n"
	_, a, _ := h.route(t, "--from", "a@b.test", "chief")
	if a.summary() != want {
		t.Errorf("got\n%swant\n%s", a.summary(), want)
	}
	if err := os.WriteFile(forward, []byte("daemon\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want = "daemon@host.test from a@b.test: local into mbox:/var/mail/daemon via pair@host.test bin@host.test\n"
	if _, a, _ = h.route(t, "--from", "a@b.test", "pair"); a.summary() != want {
		t.Errorf("named twice: got\n%swant\n%s", a.summary(), want)
	}
	if err := os.Chmod(forward, 0o666); err != nil {
		t.Fatal(err)
	}
	_, a, _ = h.route(t, "--from", "a@b.test", "chief")
	if a.summary() != own || !slices.ContainsFunc(a.Steps, func(s string) bool { return strings.Contains(s, "is ignored: others may write to it") }) {
		t.Errorf("a .forward of everybody: %+v", a)
	}
}

// TestRouteText is for people's eyes and terminals.
func TestRouteText(t *testing.T) {
	h := routeHost(t, "[[masquerade]]\nmatch = \"*@host.test\"\nto = \"*@corp.test\"\n[[smarthost]]\naddress = \"relay.test:587\"\nfor_recipients = [\"*@far.test\"]\n")
	for args, wants := range map[string][]string{
		"list":       {"to          list@host.test\n", "owner-list@corp.test\n", "smarthost relay.test:587, for_recipients = \"*@far.test\"\n", "relay.test port 587: 192.0.2.9\n", "(tls.default)"},
		"team":       {"  into      command:/bin/archive -x (as user nobody)\n", "  bounced   unknown local user \"nobody-there\"\n"},
		"x@far.test": {"  TLS       encrypted, with a verified certificate, or not at all\n            (smarthost.tls)\n"},
	} {
		code, out, errs := h.run("", "route", "--from", "a", args)
		if code != 0 || errs != "" {
			t.Errorf("%s: exit %d, %q", args, code, errs)
		}
		for _, want := range wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", args, want, out)
			}
		}
		for l := range strings.Lines(out) {
			if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 80 {
				t.Errorf("%s: %d columns: %s", args, n, l)
			}
		}
	}
	if code, out, errs := h.run("", "route", "nobody-there"); code != 67 || !strings.Contains(out, "bounced") || !strings.HasPrefix(errs, "postrider: unknown local user") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}
