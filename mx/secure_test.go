package mx_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/dnstest"
	"postrider/mx"
)

const secureZone = `
	signed.example.    300 IN MX 10 a.signed.example.
	signed.example.    300 IN MX 20 b.plain.example.
	a.signed.example.  300 IN A 192.0.2.1
	a.signed.example.  300 IN AAAA 2001:db8::1
	b.plain.example.   300 IN A 192.0.2.2
	plain.example.     300 IN MX 10 a.signed.example.
	own.example.       300 IN A 192.0.2.3
	alias.example.     300 IN CNAME signed.example.
	half.example.      300 IN A 192.0.2.4
	half.example.      300 IN AAAA 2001:db8::4
	via.example.       300 IN MX 10 badalias.example.
	badalias.example.  300 IN CNAME a.signed.example.
`

func secureServer(t *testing.T) *dnstest.Server {
	s := dnstest.New(t, secureZone)
	for _, name := range []string{"signed.example", "a.signed.example", "own.example", "via.example"} {
		s.Authenticate(name)
	}
	s.Set("half.example", "A", dnstest.Behaviour{AD: true})
	return s
}

// secured writes the MX records' and the hosts' status: "yes: yes no".
func secured(h *mx.Hosts) string {
	word := map[bool]string{true: "yes", false: "no"}
	s := word[h.Secure] + ":"
	for _, host := range h.List {
		s += " " + word[host.Secure]
	}
	return s
}

func TestSecure(t *testing.T) {
	s := secureServer(t)
	s.Set("alias.example", "", dnstest.Behaviour{NoChase: true})    // no AD on the alias
	s.Set("badalias.example", "", dnstest.Behaviour{NoChase: true}) // nor here
	r := newResolver(t, s, nil)                                     // asks over loopback: trusted
	for next, want := range map[string]string{
		"signed.example": "yes: yes no",
		"plain.example":  "no: yes",
		"own.example":    "yes: yes",
		"alias.example":  "no: yes no",
		"half.example":   "no: no",
		"via.example":    "yes: no",
		"[192.0.2.1]":    "no: no",
		"localhost":      "no: no",
	} {
		if got := secured(mustLookup(t, r, next)); got != want {
			t.Errorf("%s: got %q, want %q", next, got, want)
		}
		if got := secured(mustLookup(t, r, next)); got != want {
			t.Errorf("%s from the cache: got %q, want %q", next, got, want)
		}
	}
}

func TestTrustAD(t *testing.T) {
	s := secureServer(t)
	for trust, want := range map[string]string{"": "yes: yes no", "auto": "yes: yes no", "yes": "yes: yes no", "no": "no: no no"} {
		r := newResolver(t, s, func(o *mx.Options) { o.TrustAD = trust })
		if got := secured(mustLookup(t, r, "signed.example")); got != want {
			t.Errorf("trust %q: got %q, want %q", trust, got, want)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, o := range map[string]mx.Options{
		"trust":         {TrustAD: "maybe"},
		"family":        {Family: "ipv5"},
		"server name":   {Servers: []string{"dns.example:53"}},
		"server port":   {Servers: []string{"127.0.0.1"}},
		"port zero":     {Servers: []string{"127.0.0.1:0"}},
		"timeout":       {Timeout: -time.Second},
		"rounds":        {Rounds: -1},
		"cache":         {CacheSize: -1},
		"not a file":    {ResolvConf: t.TempDir()},
		"second server": {Servers: []string{"127.0.0.1:53", "x"}},
	} {
		if r, err := mx.New(o); err == nil {
			r.Close()
			t.Errorf("%s: %+v was accepted", name, o)
		}
	}
}

func TestResolvConfMayBeMissing(t *testing.T) {
	newResolver(t, nil, func(o *mx.Options) { o.ResolvConf = filepath.Join(t.TempDir(), "none") })
}

// A resolv.conf cannot name a port, so what comes of reading it again shows in where
// questions go: to addresses where nobody answers in a test, as the error says.
func TestResolvConfIsReadAgain(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "resolv.conf"), newClock()
	write := func(server string, age time.Duration) {
		t.Helper()
		text := fmt.Sprintf("# a comment\nnameserver %s\noptions timeout:1 attempts:1\n", server)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		when := time.Now().Add(-age)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
	write("127.255.0.2", time.Hour)
	r := newResolver(t, nil, func(o *mx.Options) { o.ResolvConf, o.Now, o.Timeout = path, now.Now, 50*time.Millisecond })
	ask := func() string {
		t.Helper()
		_, err := r.Lookup(t.Context(), "one.example")
		if err == nil {
			t.Fatal("somebody answered on port 53 of an address that tests use")
		}
		now.Advance(time.Minute)
		return err.Error()
	}
	if text := ask(); !strings.Contains(text, "127.255.0.2:53") {
		t.Errorf("asked another server: %s", text)
	}
	write("127.255.0.3", 0)
	if text := ask(); !strings.Contains(text, "127.255.0.3:53") {
		t.Errorf("the change went unnoticed: %s", text)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if text := ask(); !strings.Contains(text, "127.255.0.3:53") {
		t.Errorf("a file being replaced changed the servers: %s", text)
	}
}
