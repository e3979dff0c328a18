package config

import "postrider/policy"

var requirements = map[string]policy.Requirement{
	"opportunistic": policy.Opportunistic,
	"starttls":      policy.Verified,
	"implicit":      policy.Verified,
	"secure":        policy.Verified,
	"none":          policy.Clear,
}

// Routes makes the routing table that the configuration describes.
func (c *Config) Routes() *policy.Routes {
	o := policy.Options{LocalDomains: c.LocalDomains, TLS: requirements[c.TLS.Default]}
	for _, s := range c.Smarthosts {
		o.Smarthosts = append(o.Smarthosts, policy.Smarthost{
			Address: s.Address, TLS: requirements[s.TLS], Implicit: s.TLS == "implicit",
			Username: s.Username, PasswordFile: s.PasswordFile,
			ForSenders: s.ForSenders, ForRecipients: s.ForRecipients,
		})
	}
	for _, d := range c.TLS.Destinations {
		o.Exceptions = append(o.Exceptions, policy.TLSException{Match: d.Match, Require: requirements[d.Require]})
	}
	return policy.NewRoutes(o)
}
