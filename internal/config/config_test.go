package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/policy"
)

// host is a root directory and a host name for Load.
func host(t *testing.T, name string, files map[string]string) config.Source {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		full := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	src := config.Source{Root: root, Hostname: func() (string, error) { return name, nil }}
	if _, ok := files["postrider.toml"]; ok {
		src.Path = filepath.Join(root, "postrider.toml")
	} else {
		src.Environ = []string{"POSTRIDER_CONFIG="}
	}
	return src
}

func TestLoadWithoutFile(t *testing.T) {
	c, err := config.Load(host(t, "box.example.com", map[string]string{"etc/mailname": "example.com\n"}))
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "box.example.com" || c.Origin != "example.com" {
		t.Errorf("hostname %q, origin %q", c.Hostname, c.Origin)
	}
	if want := []string{"localhost", "box.example.com", "example.com"}; !slices.Equal(c.LocalDomains, want) {
		t.Errorf("local domains %q, want %q", c.LocalDomains, want)
	}
	if c.Retry.First.D() != 5*time.Minute || c.Retry.Lifetime.D() != 5*24*time.Hour || c.Submission.MaxMessageSize != 50<<20 {
		t.Errorf("defaults: %v %v %v", c.Retry.First, c.Retry.Lifetime, c.Submission.MaxMessageSize)
	}
	if c.SubmitSocket() != "/run/postrider/submit.sock" || c.QueueDB() != "/var/spool/postrider/queue.db" {
		t.Errorf("paths %s %s", c.SubmitSocket(), c.QueueDB())
	}
	if got := c.Source("retry.first"); got != "default" {
		t.Errorf("source of retry.first is %q", got)
	}
}

func TestHostnameIsMadeFullByHostsFile(t *testing.T) {
	hosts := "127.0.0.1 localhost\n127.0.1.1 box.example.net box # ours\n"
	c, err := config.Load(host(t, "box", map[string]string{"etc/hosts": hosts}))
	if err != nil || c.Hostname != "box.example.net" || c.Origin != "box.example.net" {
		t.Fatalf("got %+v, %v", c, err)
	}
}

func TestLoadFile(t *testing.T) {
	c, err := config.Load(host(t, "box", map[string]string{"postrider.toml": `
hostname = "mail.example.org"
local_domains = []
[submission]
listen = []
max_message_size = "10MB"
[retry]
lifetime = "1d12h"
[[smarthost]]
address = "smtp.example.org:587"
[[smarthost]]
address = "[192.0.2.1]:25"
tls = "none"
for_senders = ["*@example.org"]
`}))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.LocalDomains) != 0 || len(c.Submission.Listen) != 0 {
		t.Errorf("empty lists became %q and %q", c.LocalDomains, c.Submission.Listen)
	}
	if c.Submission.MaxMessageSize != 10_000_000 || c.Retry.Lifetime.D() != 36*time.Hour {
		t.Errorf("size %v, lifetime %v", c.Submission.MaxMessageSize, c.Retry.Lifetime)
	}
	if len(c.Smarthosts) != 2 || c.Smarthosts[0].TLS != "starttls" || c.Smarthosts[1].TLS != "none" {
		t.Errorf("smarthosts %+v", c.Smarthosts)
	}
	if got := c.Source("smarthost.address"); !strings.HasSuffix(got, "postrider.toml") {
		t.Errorf("source of smarthost.address is %q", got)
	}
	if got := c.Routes().Destination(address.Address{Local: "a", Domain: "example.com"}, address.Address{Local: "b", Domain: "example.net"}); got != policy.RelayPrefix+"smtp.example.org:587" {
		t.Errorf("destination %q", got)
	}
}

func TestEnvironmentOverrides(t *testing.T) {
	src := host(t, "box", map[string]string{"postrider.toml": "hostname = \"a.example\"\n[retry]\nfirst = \"1m\"\n"})
	src.Environ = []string{"POSTRIDER_HOSTNAME=b.example", "POSTRIDER_RETRY_FIRST=2m", "POSTRIDER_SUBMISSION_LISTEN=",
		"POSTRIDER_SMARTHOST_ADDRESS=relay.example:25", "POSTRIDER_SMARTHOST_TLS=none", "POSTRIDER_PORT=tcp://10.0.0.1:25"}
	c, err := config.Load(src)
	if err != nil {
		t.Fatal(err)
	}
	if c.Hostname != "b.example" || c.Retry.First.D() != 2*time.Minute || len(c.Submission.Listen) != 0 {
		t.Errorf("%q %v %q", c.Hostname, c.Retry.First, c.Submission.Listen)
	}
	if len(c.Smarthosts) != 1 || c.Smarthosts[0].Address != "relay.example:25" || c.Smarthosts[0].TLS != "none" {
		t.Errorf("smarthosts %+v", c.Smarthosts)
	}
	if got := c.Source("hostname"); got != "POSTRIDER_HOSTNAME" {
		t.Errorf("source of hostname is %q", got)
	}
}

// TestMistakesAreNamed has one case a mistake, with what the message must say.
func TestMistakesAreNamed(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"unknown key":       {"hostnam = \"x\"\n", `:1: unknown key "hostnam"; did you mean "hostname"?`},
		"unknown table key": {"[retry]\n\nfist = \"5m\"\n", `:3: unknown key "retry.fist"; did you mean "retry.first"?`},
		"unknown list key":  {"[[smarthost]]\naddress = \"a.example\"\npasword_file = \"/x\"\n", `unknown key "smarthost.pasword_file"; did you mean "smarthost.password_file"?`},
		"syntax":            {"hostname = \n", ":1"},
		"wrong type":        {"on_demand = \"perhaps\"\n", "on_demand"},
		"bad duration":      {"[retry]\nfirst = \"five\"\n", "is not a time span"},
		"bad size":          {"[submission]\nmax_message_size = \"big\"\n", "is not a size"},
		"bad choice":        {"[tls]\ndefault = \"maybe\"\n", `"maybe" is none of opportunistic, secure, none`},
		"bad address":       {"[submission]\nlisten = [\"localhost\"]\n", "has no address with a port"},
		"bad host name":     {"hostname = \"a b\"\n", "is not a domain name"},
		"relative spool":    {"spool = \"spool\"\n", "is not an absolute path"},
		"zero limit":        {"[delivery]\nmax_connections = 0\n", "must be more than 0"},
		"first over max":    {"[retry]\nfirst = \"2h\"\n", "retry.first (2h) is greater than retry.max (1h)"},
		"login in the open": {"[[smarthost]]\naddress = \"r.example:25\"\ntls = \"none\"\nusername = \"u\"\npassword_file = \"/p\"\n", "would send its password"},
		"login half":        {"[[smarthost]]\naddress = \"r.example:25\"\nusername = \"u\"\n", "no password_file"},
		"no smarthost name": {"[[smarthost]]\ntls = \"none\"\n", `key "smarthost.address"`},
		"foreign mailbox":   {"[local]\nmailbox = \"mmdf:/x\"\n", "is none of mbox:PATH"},
	} {
		t.Run(name, func(t *testing.T) {
			src := host(t, "box", map[string]string{"postrider.toml": tt.text})
			_, err := config.Load(src)
			if err == nil {
				t.Fatal("no error")
			}
			if text := err.Error(); !strings.Contains(text, tt.want) || !strings.Contains(text, src.Path) || strings.Contains(text, "\n") {
				t.Errorf("error %q does not say %q on one line that names the file", text, tt.want)
			}
		})
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := config.Load(config.Source{Path: filepath.Join(t.TempDir(), "none.toml")}); err == nil {
		t.Error("a file that was named but is missing is no error")
	}
}

func TestTextForms(t *testing.T) {
	for _, text := range []string{"0", "90s", "1m30s", "5m", "1h", "5d", "1d12h"} {
		var d config.Duration
		if err := d.UnmarshalText([]byte(text)); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		var again config.Duration
		if err := again.UnmarshalText([]byte(d.String())); err != nil || again != d {
			t.Errorf("%q prints as %q, which reads as %v, %v", text, d, again, err)
		}
	}
	for text, want := range map[string]config.Size{"0": 0, "4096": 4096, "50MiB": 50 << 20, "10MB": 10e6, "1G": 1 << 30, "2 KiB": 2048} {
		var z config.Size
		if err := z.UnmarshalText([]byte(text)); err != nil || z != want {
			t.Errorf("%q: %d, %v; want %d", text, z, err, want)
		}
	}
	for _, text := range []string{"", "x", "-1m", "1x", "99999999d"} {
		if err := new(config.Duration).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("time span %q is accepted", text)
		}
		if err := new(config.Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("size %q is accepted", text)
		}
	}
}

// TestBareNumbers: a number of the file's own is no time span, and can be no size.
func TestBareNumbers(t *testing.T) {
	for text, says := range map[string]string{
		"[retry]\nfirst = 5\n": "unit of time", "[retry]\nmax = -5\n": "unit of time", "[retry]\ndelay_notice = 0\n": "",
		"[submission]\nmax_message_size = -1\n": "no size", "[submission]\nmax_message_size = 1000000\n": "",
	} {
		_, err := config.Load(host(t, "h.test", map[string]string{"postrider.toml": text}))
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%q: %v, want %q", text, err, says)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("hostname = \"a.example\"\n[[smarthost]]\naddress = \"b:25\"\n")
	f.Add("[retry]\nfirst = 5\n")
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "p.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := config.Load(config.Source{Path: path}); err == nil {
			c.Routes()
			for _, k := range c.Keys() {
				_ = k.Value()
			}
		}
	})
}
