package smtpd

import (
	"log/slog"
	"time"

	"postrider/internal/submission"
)

// Options is what a Server needs. Intake, Hostname and Logger must be set.
type Options struct {
	// Intake takes the messages.
	Intake *submission.Intake
	// Hostname greets, and stands for the name of a client that gave none.
	Hostname string
	// MaxSize of a message in bytes, announced as SIZE; zero for no limit.
	MaxSize int64
	// MaxRecipients of a message that comes over the network; zero for no limit.
	// Programs of this host have none.
	MaxRecipients int
	// MaxConnections at a time, counted apart for each listener; zero for no limit.
	MaxConnections int
	// MaxPerClient is the number of connections that one network client (an IPv4
	// address or an IPv6 /64 prefix; loopback excepted) may have; zero for no
	// limit. A uid may take half of the socket's MaxConnections, root all.
	MaxPerClient int
	// CommandTimeout is how long the next command may take to come; 5 minutes
	// (RFC 5321 §4.5.3.2.7) if zero.
	CommandTimeout time.Duration
	// DataTimeout is how long the next part of a body may take to come; 3 minutes
	// (RFC 5321 §4.5.3.2.5) if zero.
	DataTimeout time.Duration
	// CommandName finds the name of a process; nil if it cannot be known.
	CommandName func(pid int) string
	Logger      *slog.Logger
}

func (o Options) withDefaults() Options {
	if o.CommandTimeout == 0 {
		o.CommandTimeout = 5 * time.Minute
	}
	if o.DataTimeout == 0 {
		o.DataTimeout = 3 * time.Minute
	}
	if o.CommandName == nil {
		o.CommandName = func(int) string { return "" }
	}
	return o
}
