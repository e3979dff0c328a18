package config

import "postrider/policy"

// Masquerades makes the rewriting of senders that the configuration describes; the
// error names the entry that is wrong.
func (c *Config) Masquerades() (*policy.Masquerades, error) {
	list := make([]policy.Masquerade, len(c.Masquerade))
	for i, m := range c.Masquerade {
		list[i] = policy.Masquerade{Match: m.Match, To: m.To}
	}
	return policy.NewMasquerades(list)
}
