package smtpd

import (
	"crypto/tls"
	"log/slog"
	"time"

	"postrider/internal/logins"
	"postrider/internal/submission"
)

// Service is what a TCP listener offers.
type Service uint8

// The services.
const (
	// Relay takes mail for local domains, and all mail of who may relay.
	Relay Service = iota
	// Submission takes mail after a login over STARTTLS (RFC 6409).
	Submission
	// Submissions is the same where TLS comes first (RFC 8314 §3.3).
	Submissions
)

func (s Service) needsLogin() bool { return s != Relay }

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
	// MaxConnections at a time over all TCP listeners, and MaxLocalConnections over
	// the submission socket; zero for no limit.
	MaxConnections, MaxLocalConnections int
	// MaxPerClient is the number of connections that one network client (an IPv4
	// address or an IPv6 /64 prefix; loopback excepted) may have, and MaxPerUser
	// that of one uid (root and our own excepted) on the submission socket; zero for
	// no limit.
	MaxPerClient, MaxPerUser int
	// TLS is offered to network clients; nil for clear text. It is not spoken below
	// version 1.2.
	TLS *tls.Config
	// Logins checks those of the submission services, which cannot do without.
	Logins *logins.Book
	// LoginDelay is how long the answer to a failed login is kept back, give or take
	// a half; two seconds if zero.
	LoginDelay time.Duration
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
	if o.LoginDelay == 0 {
		o.LoginDelay = 2 * time.Second
	}
	if o.CommandName == nil {
		o.CommandName = func(int) string { return "" }
	}
	return o
}
