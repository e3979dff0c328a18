package config

import (
	"fmt"
	"slices"
	"strings"

	"postrider/internal/address"
	"postrider/policy"
)

// Senders makes the table of who may send as whom.
func (c *Config) Senders() *policy.SenderRules {
	o := policy.SenderOptions{Trusted: c.Submission.TrustedUsers, Denied: c.Submission.DenyUsers}
	for _, r := range c.Submission.SenderRules {
		rule := policy.SenderRule{Users: r.Users, Logins: r.Logins, Allow: r.Allow}
		// Load has checked them: there is no error but for texts that set nothing.
		rule.ReversePath, _ = c.forcedAddress(r.ReversePath)
		rule.From, _ = c.forcedAddress(r.From)
		o.Rules = append(o.Rules, rule)
	}
	return policy.NewSenderRules(o)
}

// forcedAddress reads an address that mail is given. It is written so that no host
// on its way needs SMTPUTF8 for it.
func (c *Config) forcedAddress(s string) (address.Address, error) {
	a, err := address.Parse(s)
	if err != nil {
		return address.Address{}, err
	}
	if !a.LocalIsASCII() {
		return address.Address{}, fmt.Errorf("address %q has a local part beyond ASCII, which not every host takes; name another", s)
	}
	return a.Qualify(c.Origin).ASCII()
}

// checkSenders checks submission.sender_rules. An error names the entry, counted
// from 1.
func (c *Config) checkSenders() error {
	for i, r := range c.Submission.SenderRules {
		if err := c.checkSenderRule(r); err != nil {
			return fmt.Errorf("submission.sender_rules, entry %d: %w", i+1, err)
		}
	}
	return nil
}

func (c *Config) checkSenderRule(r SenderRule) error {
	if len(r.Users)+len(r.Logins) == 0 {
		return fmt.Errorf("names neither users nor logins; add whom it binds, or \"*\"")
	}
	if slices.Contains(append(slices.Clone(r.Users), r.Logins...), "") {
		return fmt.Errorf("names a user or login without a name; take the empty text out")
	}
	for _, p := range r.Allow {
		if err := checkSenderPattern(p); err != nil {
			return fmt.Errorf("allow: %w", err)
		}
	}
	for _, forced := range []struct{ key, text string }{{"reverse_path", r.ReversePath}, {"from", r.From}} {
		if forced.text == "" {
			continue
		}
		if _, err := c.forcedAddress(forced.text); err != nil {
			return fmt.Errorf("%s: %w", forced.key, err)
		}
	}
	return nil
}

// checkSenderPattern takes what [policy.Match] can match with an address.
func checkSenderPattern(p string) error {
	if p == "*" {
		return nil
	}
	local, domain, ok := strings.Cut(p, "@")
	if ok && !strings.Contains(domain, "*") && checkDomain(strings.TrimPrefix(domain, ".")) == nil {
		a, err := address.Parse(local + "@" + strings.TrimPrefix(domain, "."))
		if local == "" || local == "*" || err == nil && !strings.Contains(a.Local, "*") {
			return nil
		}
	}
	return fmt.Errorf("%q is no pattern; use \"user@example.com\", \"*@example.com\", \"*@.example.com\" for all below it, or \"*\"", p)
}
