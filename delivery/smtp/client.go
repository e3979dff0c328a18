package smtp

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"time"

	"postrider/internal/address"
)

// Options of a Client. The zero value is usable but logs nowhere.
type Options struct {
	// Logger for what no Report carries; nil discards.
	Logger *slog.Logger
	// DialContext replaces net.Dialer's; Target.LocalAddr is then up to it.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
	Timeouts    Timeouts
	// IdleTimeout ends a connection that no message used for so long: 2 s.
	IdleTimeout time.Duration
	// MaxAge ends a connection after the message that finds it this old: 300 s.
	MaxAge time.Duration
	// BrokenTLS is how long a host whose TLS failed is spared another try in
	// opportunistic mode: 1 h.
	BrokenTLS time.Duration
	// MaxReplyBytes bounds one reply with all its lines: 16 KiB.
	MaxReplyBytes int
	// ToASCII replaces address.Address.ASCII in turning an internationalised domain
	// into A-labels.
	ToASCII func(domain string) (string, error)
	// Now replaces time.Now for ages and certificates; waits are in real time.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.Timeouts = o.Timeouts.withDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.IdleTimeout <= 0 {
		o.IdleTimeout = 2 * time.Second
	}
	if o.MaxAge <= 0 {
		o.MaxAge = 300 * time.Second
	}
	if o.BrokenTLS <= 0 {
		o.BrokenTLS = time.Hour
	}
	if o.MaxReplyBytes <= 0 {
		o.MaxReplyBytes = 16 << 10
	}
	if o.ToASCII == nil {
		o.ToASCII = toASCII
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func toASCII(domain string) (string, error) {
	a, err := address.Address{Domain: domain}.ASCII()
	return a.Domain, err
}

// Client sends messages and keeps connections between them. It is safe for
// concurrent use.
type Client struct {
	opts   Options
	pool   *pool
	broken *brokenTLS
	whole  sync.Pool // of *[]byte, see wire.grow
}

// New makes a Client.
func New(o Options) *Client {
	o = o.withDefaults()
	return &Client{opts: o, pool: newPool(o.IdleTimeout), broken: newBrokenTLS(o.BrokenTLS)}
}

// Idle counts the connections kept for the next message.
func (c *Client) Idle() int { return c.pool.count() }

// Close ends the idle connections and waits until they are gone. Messages being
// sent go on; their connections are not kept.
func (c *Client) Close() { c.pool.close() }
