package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

type pkg struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Doc          string
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,TestImports,XTestImports,Doc", "postrider/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// allowed lists for each package, or for all below a path that ends in "/...",
// which of our packages it may import. The first entry that fits counts. What is
// not listed may import everything below cmd.
var allowed = []struct {
	from string
	to   []string
}{
	{"queue/boltstore", []string{"queue", "internal/address"}},
	{"queue/storetest", []string{"queue", "internal/address"}},
	{"queue/schedule", []string{"queue", "internal/address"}},
	{"queue", []string{"internal/address"}},
	{"mx", nil},
	{"policy", []string{"internal/address"}},
	{"delivery/smtp", []string{"queue", "internal/address"}},
	{"delivery/local", []string{"queue", "internal/address"}},
	{"delivery/dsn", []string{"queue", "internal/address"}},
	{"delivery/lmtp", []string{"queue", "internal/address"}},
	{"delivery", []string{"delivery/smtp", "delivery/lmtp", "delivery/local", "internal/address", "internal/aliases", "internal/message", "mx", "policy", "queue", "queue/schedule"}},
	{"internal/address", nil},
	{"internal/aliases", []string{"queue", "internal/address"}},
	{"internal/logins", nil},
	{"internal/sysexits", nil},
	{"internal/arch", nil},
	{"internal/message", []string{"internal/address"}},
	{"internal/config", []string{"policy", "internal/address"}},
	{"internal/submission", []string{"queue", "policy", "internal/address", "internal/message", "internal/sysexits"}},
	{"internal/peercred", nil},
	{"internal/smtpd", []string{"queue", "internal/peercred", "internal/address", "internal/message", "internal/submission", "internal/logins"}},
	{"internal/maildrop", []string{"queue", "internal/address"}},
	{"internal/mailboxd", []string{"queue", "delivery/local", "internal/address", "internal/peercred"}},
	{"internal/control", []string{"queue", "internal/peercred", "internal/address"}},
	{"internal/bounce", []string{"queue", "queue/schedule", "delivery/dsn", "internal/address", "internal/message"}},
	{"cmd/sendmail", []string{"internal/sendmail"}},
	{"cmd/postrider", []string{"internal/command"}},
}

// onlyIn names third-party modules with the packages that may import them.
var onlyIn = map[string][]string{
	"go.etcd.io/bbolt":                 {"queue/boltstore"},
	"github.com/miekg/dns":             {"mx", "internal/dnstest"},
	"github.com/emersion/go-smtp":      {"delivery/smtp", "delivery/lmtp", "internal/smtpd", "internal/smtptest", "internal/demo"},
	"github.com/emersion/go-sasl":      {"delivery/smtp", "internal/smtpd", "internal/smtptest"},
	"github.com/emersion/go-message":   {"delivery/dsn"},
	"github.com/spf13/cobra":           {"internal/command", "internal/gendoc"},
	"github.com/cpuguy83/go-md2man/v2": {"internal/gendoc"},
	"github.com/pelletier/go-toml/v2":  {"internal/config"},
	"github.com/fxamacker/cbor/v2":     {"queue/boltstore"},
	"github.com/xdg-go/scram":          {"internal/logins", "internal/smtpd"},
	"github.com/coreos/go-systemd":     {"internal/daemon"},
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		from := strings.TrimPrefix(p.ImportPath, "postrider/")
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, "postrider/")
			switch {
			case !ours:
				checkThirdParty(t, from, imp)
			case strings.HasPrefix(to, "cmd/"):
				t.Errorf("%s imports %s: nothing imports a program", from, to)
			case !mayImport(from, to):
				t.Errorf("%s imports %s, against the direction of docs/architecture.md", from, to)
			}
		}
	}
}

func mayImport(from, to string) bool {
	for _, rule := range allowed {
		if rule.from == from {
			return slices.Contains(rule.to, to)
		}
	}
	return true
}

func checkThirdParty(t *testing.T, from, imp string) {
	for module, users := range onlyIn {
		if (imp == module || strings.HasPrefix(imp, module+"/")) && !slices.Contains(users, from) {
			t.Errorf("%s imports %s, which only %v may", from, imp, users)
		}
	}
}

// TestProgramSendmailStaysSmall keeps what costs start-up time out of a program
// that cron starts a thousand times a day.
func TestProgramSendmailStaysSmall(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "postrider/cmd/sendmail").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	for _, heavy := range []string{"crypto/tls", "net/http", "github.com/emersion/go-smtp", "github.com/miekg/dns", "github.com/spf13/cobra"} {
		if slices.Contains(deps, heavy) {
			t.Errorf("sendmail links %s", heavy)
		}
	}
}

func TestNoPackageWithoutAJob(t *testing.T) {
	for _, p := range packages(t) {
		if slices.Contains([]string{"util", "common", "helpers", "misc"}, path.Base(p.ImportPath)) {
			t.Errorf("%s: the name says nothing", p.ImportPath)
		}
		if p.Doc == "" && len(p.Imports) > 0 {
			t.Errorf("%s has no doc comment that states its job", p.ImportPath)
		}
	}
}
