package mailboxd

import (
	"time"

	"postrider/delivery/local"
)

// Settings are what a helper takes from the configuration.
type Settings struct {
	// Template, Hostname, Forward, Delimiter, DefaultUser and CommandTimeout are as
	// in local.Options.
	Template, Hostname, Forward, Delimiter, DefaultUser string
	CommandTimeout                                      time.Duration
	// Spool is the directory whose owner may ask for deliveries.
	Spool string
}

// Options gives those of package local.
func (s Settings) Options() local.Options {
	return local.Options{
		Template: s.Template, Hostname: s.Hostname, Forward: s.Forward, Delimiter: s.Delimiter,
		DefaultUser: s.DefaultUser, CommandTimeout: s.CommandTimeout,
	}
}
