// Package config turns the configuration file and the environment into one
// typed, checked, immutable value.
//
// Every key is declared once, as a field of [Config]: its comment is the
// documentation, its default tag the default, its check tag the rule. The file
// docs/configuration.md and the commented default configuration are generated
// from these declarations.
//
// This package does not read secrets; it says where they are.
package config

import (
	"path/filepath"
	"time"
)

// DefaultPath is the configuration file read when no other is named.
const DefaultPath = "/etc/postrider/postrider.toml"

// Config is the effective configuration. It does not change after Load.
type Config struct {
	// The name this host calls itself: in EHLO, Received and Message-ID.
	// Default: the fully qualified host name.
	Hostname string `toml:"hostname" check:"domain"`
	// The domain that completes bare addresses such as "root".
	// Default: the first line of /etc/mailname, else hostname.
	Origin string `toml:"origin" check:"domain"`
	// Domains whose mail is delivered on this host.
	// Default: localhost, hostname and origin.
	LocalDomains []string `toml:"local_domains"`
	// The directory of the spool: queue.db and maildrop/.
	Spool string `toml:"spool" default:"/var/spool/postrider" check:"absolute"`
	// The directory of the sockets submit.sock and control.sock.
	RunDir string `toml:"run_dir" default:"/run/postrider" check:"absolute"`
	// Deliver without a daemon: sendmail run by root or the spool's owner starts
	// a delivery run in the background after queueing.
	OnDemand bool `toml:"on_demand" default:"false"`

	Submission Submission   `toml:"submission"`
	DNS        DNS          `toml:"dns"`
	Delivery   Delivery     `toml:"delivery"`
	Retry      Retry        `toml:"retry"`
	Smarthosts []Smarthost  `toml:"smarthost"`
	Masquerade []Masquerade `toml:"masquerade"`
	Local      Local        `toml:"local"`
	TLS        TLS          `toml:"tls"`
	History    History      `toml:"history"`
	Log        Log          `toml:"log"`

	// sources says for each key that the environment sets by which variable.
	sources map[string]string
	// inFile says which keys the file at path sets; nil without a file. Few ask, so
	// it is found out when one does.
	inFile func() map[string]bool
	path   string
}

// Submission says how mail comes in.
type Submission struct {
	// TCP addresses on which mail is taken over SMTP; [] for none. The unix socket
	// is always there. "ADDRESS:PORT" takes mail from this host, from
	// trusted_networks and, for local domains, from anybody;
	// "submission://ADDRESS:PORT" takes it after a login over STARTTLS, and
	// "submissions://ADDRESS:PORT" the same where TLS comes first.
	Listen []string `toml:"listen" default:"127.0.0.1:25" check:"listeners"`
	// The certificate of the listeners, with its chain, in PEM.
	CertificateFile string `toml:"certificate_file" check:"absolute?"`
	// The certificate's private key: readable by the daemon's user alone.
	KeyFile string `toml:"key_file" check:"absolute?"`
	// The file of logins and password hashes that "postrider user" keeps.
	Users string `toml:"users" default:"/etc/postrider/users" check:"absolute"`
	// Networks whose hosts may send to anywhere without a login ("192.168.7.0/24").
	TrustedNetworks []string `toml:"trusted_networks" check:"networks"`
	// Confirms that trusted_networks may name public addresses.
	TrustPublicNetworks bool `toml:"trust_public_networks" default:"false"`
	// The most SMTP connections at once, over all TCP listeners.
	MaxConnections int `toml:"max_connections" default:"200" check:"positive"`
	// The most SMTP connections at once from one client address.
	MaxConnectionsPerClient int `toml:"max_connections_per_client" default:"50" check:"positive"`
	// The most connections at once to the unix socket by one user other than root.
	MaxConnectionsPerUser int `toml:"max_connections_per_user" default:"100" check:"positive"`
	// Local users that sender_rules do not bind.
	TrustedUsers []string `toml:"trusted_users" default:"root"`
	// Local users that may not send mail.
	DenyUsers []string `toml:"deny_users"`
	// Who may send as whom. The first rule that names the user or login holds; who
	// is named by none may use any address.
	SenderRules []SenderRule `toml:"sender_rules"`
	// The largest message taken, header included; "0" for no limit.
	MaxMessageSize Size `toml:"max_message_size" default:"50MiB"`
	// The most recipients of one message taken over SMTP.
	MaxRecipients int `toml:"max_recipients" default:"1000" check:"positive"`
}

// SenderRule binds users to the addresses they send from.
type SenderRule struct {
	// Local users by name or uid, or "*" for all: then also who comes over TCP from
	// this host without a login.
	Users []string `toml:"users"`
	// Logins of the submission service, or "*" for all.
	Logins []string `toml:"logins"`
	// What they may use as reverse-path and in the fields From and Sender
	// ("*@example.com"), besides the null reverse-path. Default: any, unless forced.
	Allow []string `toml:"allow"`
	// The reverse-path their mail is given, whatever they ask for; a null one stays.
	ReversePath string `toml:"reverse_path"`
	// The address their From field is given; a Sender or Reply-To of their own stays.
	From string `toml:"from"`
}

// Masquerade rewrites sender addresses of mail that leaves this host: in the
// envelope and in the fields From, Sender and Reply-To. The first that matches
// holds.
type Masquerade struct {
	// The address to rewrite: "user@example.com", "*@host.example.com", or "*".
	Match string `toml:"match" check:"required"`
	// What it becomes; "*@example.com" keeps the local part.
	To string `toml:"to" check:"required"`
}

// DNS says who answers questions.
type DNS struct {
	// Name servers as "address:port". Default: those of /etc/resolv.conf.
	Servers []string `toml:"servers" check:"addresses"`
	// Whether the resolver's word that an answer is DNSSEC-validated is trusted:
	// "yes", "no", or "auto": with "options trust-ad" or a loopback resolver.
	TrustAD string `toml:"trust_ad" default:"auto" check:"auto|yes|no"`
}

// Delivery limits what goes out.
type Delivery struct {
	// The destination port of direct deliveries.
	Port int `toml:"port" default:"25" check:"port"`
	// Source addresses of outgoing connections: at most one an address family.
	BindAddress []string `toml:"bind_address" check:"ips"`
	// Which address families are used: "any", "ipv4", "ipv6", "prefer-ipv4" or
	// "prefer-ipv6".
	IPFamily string `toml:"ip_family" default:"any" check:"any|ipv4|ipv6|prefer-ipv4|prefer-ipv6"`
	// The most deliveries under way at once.
	MaxConnections int `toml:"max_connections" default:"100" check:"positive"`
	// The most deliveries under way at once to the hosts of one destination.
	MaxConnectionsPerDestination int `toml:"max_connections_per_destination" default:"20" check:"positive"`
	// After so many messages a connection is closed.
	MessagesPerConnection int `toml:"messages_per_connection" default:"100" check:"positive"`
}

// Retry is the schedule of what could not be delivered at once.
type Retry struct {
	// The pause after the first attempt. It doubles, jittered, up to max.
	First Duration `toml:"first" default:"5m" check:"positive"`
	// The longest pause between attempts.
	Max Duration `toml:"max" default:"1h" check:"positive"`
	// After so long an undeliverable message is returned to its sender.
	Lifetime Duration `toml:"lifetime" default:"5d" check:"positive"`
	// After so long an undeliverable bounce is given up.
	BounceLifetime Duration `toml:"bounce_lifetime" default:"1d" check:"positive"`
	// After so long the sender is told that a message is delayed; "0" for never.
	DelayNotice Duration `toml:"delay_notice" default:"4h"`
}

// Smarthost is a relay that takes mail for other hosts. Smarthosts are used in
// the order of the file: the first that answers takes the mail. With none, mail
// goes straight to the MX hosts of its recipients.
type Smarthost struct {
	// "host:port", "[literal]:port", or a domain whose MX hosts are looked up.
	Address string `toml:"address" check:"nexthop"`
	// "starttls" and "implicit" demand a verified certificate; "opportunistic"
	// takes what it gets; "none" speaks clear text.
	TLS string `toml:"tls" default:"starttls" check:"starttls|implicit|opportunistic|none"`
	// The login name; empty for no login.
	Username string `toml:"username"`
	// The file with the password: readable by the daemon's user alone.
	PasswordFile string `toml:"password_file" check:"absolute?"`
	// Only for messages whose reverse-path matches one of these ("*@example.com").
	ForSenders []string `toml:"for_senders"`
	// Only for recipients that match one of these ("*@example.net").
	ForRecipients []string `toml:"for_recipients"`
}

// Local says how mail for users of this host is delivered.
type Local struct {
	// Where the mail of a user goes: "mbox:PATH" or "maildir:PATH" with {user} for
	// the login name, {home} for the home directory and {domain} for the
	// recipient's domain; "lmtp:unix:PATH" or "lmtp:HOST:PORT" for a mail store;
	// "pipe:COMMAND" for a program that is run as the user; or "off".
	Mailbox string `toml:"mailbox" default:"mbox:/var/mail/{user}" check:"mailbox"`
	// Files of aliases(5); the first that lists a name holds. One that does not
	// exist is passed over.
	Aliases []string `toml:"aliases" default:"/etc/aliases"`
	// Where users say where their mail goes instead, as in forward(5); "off" for
	// nowhere.
	Forward string `toml:"forward" default:"{home}/.forward" check:"forward"`
	// What parts a user's or alias's name from an extension; "" for none.
	Delimiter string `toml:"delimiter" default:"+"`
	// The user that runs commands of alias files and owns the files they name. Not
	// the owner of the spool: commands could read all mail.
	DefaultUser string `toml:"default_user" default:"nobody"`
	// Where mail for system accounts (uid below 1000) goes that no alias lists; by
	// default into their mailboxes.
	SystemUsers string `toml:"system_users"`
	// How long a command may take.
	CommandTimeout Duration `toml:"command_timeout" default:"15m" check:"positive"`
	// Where mail that can neither be delivered nor returned goes.
	Postmaster string `toml:"postmaster" default:"postmaster"`
}

// TLS says what direct delivery demands of a destination.
type TLS struct {
	// "opportunistic": encrypt where offered; "secure": only with a verified
	// certificate; "none": never.
	Default string `toml:"default" default:"opportunistic" check:"opportunistic|secure|none"`
	// Certificates of authorities in PEM. Default: the system's.
	CAFile string `toml:"ca_file" check:"absolute?"`
	// Exceptions by recipient domain.
	Destinations []TLSDestination `toml:"destination"`
}

// TLSDestination is an exception to the default for one recipient domain.
type TLSDestination struct {
	// The recipient domain, or ".example.com" for all below it.
	Match string `toml:"match" check:"required"`
	// As tls.default.
	Require string `toml:"require" check:"opportunistic|secure|none"`
}

// History says what is remembered of messages that have ended.
type History struct {
	// How long attempts and outcomes of ended messages are kept.
	Keep Duration `toml:"keep" default:"7d"`
}

// Log says what is logged and how.
type Log struct {
	// "debug", "info", "warn" or "error".
	Level string `toml:"level" default:"info" check:"debug|info|warn|error"`
	// "text" or "json" on standard error, or "syslog", facility mail; "auto" is
	// text, and syslog if standard error is /dev/null.
	Format string `toml:"format" default:"auto" check:"auto|text|json|syslog"`
}

// SubmitSocket is the path of the submission socket.
func (c *Config) SubmitSocket() string { return filepath.Join(c.RunDir, "submit.sock") }

// ControlSocket is the path of the administrators' socket.
func (c *Config) ControlSocket() string { return filepath.Join(c.RunDir, "control.sock") }

// LocalSocket is the path of the local delivery helper's socket. It is not within
// RunDir, which belongs to the daemon's user: root makes it.
func (c *Config) LocalSocket() string {
	return filepath.Join(filepath.Clean(c.RunDir)+"-local", "helper.sock")
}

// QueueDB is the path of the spool's database.
func (c *Config) QueueDB() string { return filepath.Join(c.Spool, "queue.db") }

// Maildrop is the directory any user may leave messages in.
func (c *Config) Maildrop() string { return filepath.Join(c.Spool, "maildrop") }

// Quarantine is where damaged maildrop files go.
func (c *Config) Quarantine() string { return filepath.Join(c.Spool, "quarantine") }

// Duration is a time span written as in "90s", "5m", "4h" or "5d".
type Duration time.Duration

// D gives the span as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

// Size is a number of bytes written as in "50MiB", "10MB" or "4096".
type Size int64
