package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/policy"
)

func loadRules(t *testing.T, rules string) (*config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "postrider.toml")
	if err := os.WriteFile(path, []byte("hostname = \"host.test\"\norigin = \"origin.test\"\n"+rules), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(config.Source{Path: path})
}

func TestSenderRules(t *testing.T) {
	c, err := loadRules(t, `
[submission]
trusted_users = ["root", "list"]
deny_users = ["guest"]
[[submission.sender_rules]]
users = ["alice", "1001"]
allow = ["*@corp.test", "me@x.test", "@y.test", "*@.z.test"]
[[submission.sender_rules]]
logins = ["*"]
reverse_path = "bounces"
from = "No Reply <noreply@bücher.test>"
`)
	if err != nil {
		t.Fatal(err)
	}
	s := c.Senders()
	alice := s.For(policy.Submitter{UID: 1001, Name: "alice"})
	if alice.Allows(address.Address{Local: "x", Domain: "else.test"}) || !alice.Allows(address.Address{Local: "x", Domain: "a.z.test"}) {
		t.Errorf("alice is bound by %+v", alice)
	}
	login := s.For(policy.Submitter{UID: -1, Login: "x"})
	if login.ReversePath.String() != "bounces@origin.test" || login.From.String() != "noreply@xn--bcher-kva.test" {
		t.Errorf("logins are bound by %+v", login)
	}
	if s.For(policy.Submitter{UID: 38, Name: "list"}) != nil || !s.Denied(policy.Submitter{UID: 5, Name: "guest"}) {
		t.Error("trusted and denied users are not taken over")
	}
	if none, err := loadRules(t, ""); err != nil || !none.Senders().Empty() {
		t.Errorf("there are rules by default (%v)", err)
	}
}

func TestSenderRuleMistakes(t *testing.T) {
	for name, tt := range map[string]struct{ rule, says string }{
		"nobody":          {`allow = ["*"]`, "neither users nor logins"},
		"empty user":      {`users = [""]`, "without a name"},
		"pattern":         {"users = [\"*\"]\nallow = [\"corp.test\"]", `"corp.test" is no pattern`},
		"star within":     {"users = [\"*\"]\nallow = [\"a*@corp.test\"]", `"a*@corp.test" is no pattern`},
		"star in domain":  {"users = [\"*\"]\nallow = [\"*@*.corp.test\"]", `is no pattern`},
		"no domain":       {"users = [\"*\"]\nallow = [\"me@\"]", `is no pattern`},
		"null":            {"users = [\"*\"]\nallow = [\"<>\"]", `is no pattern`},
		"forced sender":   {"users = [\"*\"]\nreverse_path = \"a b\"", `reverse_path: `},
		"forced null":     {"users = [\"*\"]\nreverse_path = \"<>\"", `reverse_path: `},
		"forced From":     {"users = [\"*\"]\nfrom = \"a@b@\"", `from: `},
		"forced beyond":   {"users = [\"*\"]\nfrom = \"bücher@corp.test\"", `beyond ASCII`},
		"several to From": {"users = [\"*\"]\nfrom = \"a@b.test, c@d.test\"", `more than one address`},
	} {
		_, err := loadRules(t, "[[submission.sender_rules]]\nusers = [\"ok\"]\n[[submission.sender_rules]]\n"+tt.rule+"\n")
		if err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), "submission.sender_rules, entry 2: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
