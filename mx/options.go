package mx

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Family says which address families are used, and which goes first.
type Family string

// The families, spelled as in the configuration.
const (
	AnyFamily  Family = "any" // alternating, IPv6 first
	IPv4Only   Family = "ipv4"
	IPv6Only   Family = "ipv6"
	PreferIPv4 Family = "prefer-ipv4"
	PreferIPv6 Family = "prefer-ipv6"
)

// Self is what this host is known by, for the loop rule.
type Self struct {
	// Names of this host; in any case, with or without a final dot.
	Names []string
	// Listeners are the addresses this host takes mail on. An unspecified address
	// stands for all addresses of the local interfaces.
	Listeners []netip.AddrPort
	// Port that hosts found by Lookup are connected to. A host is this one only
	// if it has an address that, with this port, is a listener's.
	Port uint16
}

// Options configure a Resolver. The zero Options are those of a plain host.
type Options struct {
	// Servers to ask in order, each "address:port". Empty: those of ResolvConf.
	Servers []string
	// ResolvConf is the resolver configuration file; default "/etc/resolv.conf".
	// It is read again when it changes, and not at all if Servers are given.
	ResolvConf string
	// TrustAD says whose AD bit counts: "yes" all servers', "no" none's, "auto"
	// (default) those on a loopback address, or all if ResolvConf says "options trust-ad".
	TrustAD string
	// Timeout of one exchange with one server. Default: what ResolvConf says, else 5 s.
	Timeout time.Duration
	// Rounds through the servers before giving up. Default: what ResolvConf
	// says, else 2.
	Rounds int
	// Family of addresses to use; default AnyFamily.
	Family Family
	Self   Self
	// Now is the clock for the cache; default time.Now.
	Now func() time.Time
	// Logger gets trouble with servers; default: none.
	Logger *slog.Logger
	// CacheSize bounds the number of answers kept; default 10000.
	CacheSize int
	// Rand shuffles hosts of equal preference; default: the process's generator.
	// The Resolver guards it against concurrent use.
	Rand rand.Source
}

const (
	defaultResolvConf = "/etc/resolv.conf"
	defaultTimeout    = 5 * time.Second
	defaultRounds     = 2
	defaultCacheSize  = 10000
)

// complete fills in defaults and checks the rest.
func (o *Options) complete() error {
	if o.ResolvConf == "" {
		o.ResolvConf = defaultResolvConf
	}
	if o.TrustAD == "" {
		o.TrustAD = "auto"
	}
	if o.Family == "" {
		o.Family = AnyFamily
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.CacheSize == 0 {
		o.CacheSize = defaultCacheSize
	}
	return o.check()
}

func (o *Options) check() error {
	if !slices.Contains([]string{"auto", "yes", "no"}, o.TrustAD) {
		return fmt.Errorf("trust AD %q: want auto, yes or no", o.TrustAD)
	}
	if !slices.Contains([]Family{AnyFamily, IPv4Only, IPv6Only, PreferIPv4, PreferIPv6}, o.Family) {
		return fmt.Errorf("address family %q: want any, ipv4, ipv6, prefer-ipv4 or prefer-ipv6", o.Family)
	}
	if o.Timeout < 0 || o.Rounds < 0 || o.CacheSize < 0 {
		return fmt.Errorf("timeout %v, rounds %d, cache size %d: none may be negative", o.Timeout, o.Rounds, o.CacheSize)
	}
	return nil
}
