package policy_test

import (
	"testing"

	"postrider/internal/address"
	"postrider/policy"
)

func user(uid int, name string) policy.Submitter { return policy.Submitter{UID: uid, Name: name} }

func login(name string) policy.Submitter { return policy.Submitter{UID: -1, Login: name} }

var (
	unknownUser = policy.Submitter{UID: -1, Unknown: true}
	stranger    = policy.Submitter{UID: -1}
)

func TestSenderRuleThatHolds(t *testing.T) {
	rules := policy.NewSenderRules(policy.SenderOptions{
		Trusted: []string{"root", "list", "33"},
		Denied:  []string{"guest", "1099"},
		Rules: []policy.SenderRule{
			{Users: []string{"alice", "1002"}, Logins: []string{"alice@example"}, Allow: []string{"first"}},
			{Users: []string{"alice", "dave", "0", "1099"}, Allow: []string{"second"}},
			{Logins: []string{"*"}, Allow: []string{"third"}},
			{Users: []string{"*"}, Allow: []string{"fourth"}},
		},
	})
	for _, tt := range []struct {
		name   string
		who    policy.Submitter
		rule   string // by what it allows
		denied bool
	}{
		{"the first that names the user", user(1001, "alice"), "first", false},
		{"by uid", user(1002, "bob"), "first", false},
		{"a number is no name", user(1003, "1002"), "fourth", false},
		{"second rule", user(1004, "dave"), "second", false},
		{"everybody", user(1005, "eve"), "fourth", false},
		{"a user without a name", user(1005, "1005"), "fourth", false},
		{"trusted by name", user(38, "list"), "", false},
		{"trusted by uid", user(33, "www-data"), "", false},
		{"root without passwd", user(0, "0"), "", false},
		{"name of root with another uid", user(1006, "toor"), "fourth", false},
		{"denied by name", user(1007, "guest"), "fourth", true},
		{"denied by uid", user(1099, "x"), "second", true},
		{"login", login("alice@example"), "first", false},
		{"login is no local user", login("alice"), "third", false},
		{"login is not trusted", login("root"), "third", false},
		{"login is not denied", login("guest"), "third", false},
		{"login in another case", login("Alice@example"), "third", false},
		{"local process over TCP", unknownUser, "fourth", false},
		{"network client", stranger, "", false},
	} {
		got := ""
		if r := rules.For(tt.who); r != nil {
			got = r.Allow[0]
		}
		if got != tt.rule || rules.Denied(tt.who) != tt.denied {
			t.Errorf("%s: rule %q, denied %v; want %q, %v", tt.name, got, rules.Denied(tt.who), tt.rule, tt.denied)
		}
	}
}

func TestSenderRulesOfNobody(t *testing.T) {
	none := policy.NewSenderRules(policy.SenderOptions{Trusted: []string{"root"}})
	for _, rules := range []*policy.SenderRules{nil, none} {
		if !rules.Empty() || rules.Denied(user(1, "x")) || rules.For(user(1, "x")) != nil {
			t.Errorf("%v decides something", rules)
		}
	}
	if policy.NewSenderRules(policy.SenderOptions{Denied: []string{"x"}}).Empty() {
		t.Error("a denied user is no empty table")
	}
	// Rules for some users do not bind the processes of this host that may be others'.
	some := policy.NewSenderRules(policy.SenderOptions{Rules: []policy.SenderRule{{Users: []string{"alice"}, Logins: []string{"*"}}}})
	if some.For(unknownUser) != nil {
		t.Error("a rule for alice binds whoever comes over TCP")
	}
}

func TestSenderRuleAllows(t *testing.T) {
	allow := []string{"me@corp.example", "*@team.example", "*@.Sub.Example", "@BÜCHER.example"}
	for _, tt := range []struct {
		name    string
		rule    policy.SenderRule
		address string
		want    bool
	}{
		{"whole address", policy.SenderRule{Allow: allow}, "Me@CORP.example", true},
		{"another of the domain", policy.SenderRule{Allow: allow}, "you@corp.example", false},
		{"domain", policy.SenderRule{Allow: allow}, "x@team.example", true},
		{"not below the domain", policy.SenderRule{Allow: allow}, "x@a.team.example", false},
		{"below", policy.SenderRule{Allow: allow}, "x@a.sub.example", true},
		{"not the domain itself", policy.SenderRule{Allow: allow}, "x@sub.example", false},
		{"no longer name", policy.SenderRule{Allow: allow}, "x@notteam.example", false},
		{"U-labels", policy.SenderRule{Allow: allow}, "x@xn--bcher-kva.example", true},
		{"null", policy.SenderRule{Allow: allow}, "", true},
		{"no limit", policy.SenderRule{}, "x@y.example", true},
		{"what is set by the rule", policy.SenderRule{Allow: allow, ReversePath: addr("a@b.example"), From: addr("c@d.example")}, "a@B.example", true},
		{"the From set by the rule", policy.SenderRule{Allow: allow, ReversePath: addr("a@b.example"), From: addr("c@d.example")}, "c@d.example", true},
		{"forced, and not allowed", policy.SenderRule{Allow: allow, ReversePath: addr("a@b.example")}, "c@d.example", false},
	} {
		rules := policy.NewSenderRules(policy.SenderOptions{Rules: []policy.SenderRule{withUser(tt.rule)}})
		var a address.Address
		if tt.address != "" {
			a = addr(tt.address)
		}
		if got := rules.For(user(1, "x")).Allows(a); got != tt.want {
			t.Errorf("%s: %s allowed: %v", tt.name, tt.address, got)
		}
	}
	if !(*policy.SenderRule)(nil).Allows(addr("a@b.example")) {
		t.Error("no rule binds")
	}
}

func withUser(r policy.SenderRule) policy.SenderRule {
	r.Users = []string{"*"}
	return r
}

func TestSenderRuleEnvelope(t *testing.T) {
	forced := &policy.SenderRule{ReversePath: addr("a@b.example")}
	for _, tt := range []struct {
		name        string
		rule        *policy.SenderRule
		given, want address.Address
	}{
		{"no rule", nil, addr("x@y.example"), addr("x@y.example")},
		{"nothing forced", &policy.SenderRule{}, addr("x@y.example"), addr("x@y.example")},
		{"forced", forced, addr("x@y.example"), addr("a@b.example")},
		{"null stays", forced, address.Address{}, address.Address{}},
	} {
		if got := tt.rule.Envelope(tt.given); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
