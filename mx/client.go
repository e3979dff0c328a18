package mx

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// downFor is how long a server that did not answer is asked only after the others.
const downFor = 30 * time.Second

// maxExchanges bounds the sockets in use at a time.
const maxExchanges = 64

// client puts questions to servers in turn until one gives an answer.
type client struct {
	path    string // of resolv.conf; empty: fixed servers
	trust   string
	timeout time.Duration // zero: as resolv.conf says
	rounds  int
	now     func() time.Time
	logger  *slog.Logger
	slots   chan struct{} // one for each exchange under way

	mu     sync.Mutex
	config config
	stamp  stamp
	down   map[netip.AddrPort]time.Time // until when
}

func newClient(o *Options) (*client, error) {
	c := &client{
		trust: o.TrustAD, timeout: o.Timeout, rounds: o.Rounds, now: o.Now, logger: o.Logger,
		slots: make(chan struct{}, maxExchanges), down: map[netip.AddrPort]time.Time{},
	}
	for _, s := range o.Servers {
		addr, err := netip.ParseAddrPort(s)
		if err != nil || addr.Port() == 0 {
			return nil, fmt.Errorf("DNS server %q: want address:port, such as 127.0.0.1:53 or [::1]:53", s)
		}
		c.config.servers = append(c.config.servers, addr)
	}
	if len(c.config.servers) > 0 {
		return c, nil
	}
	c.path = o.ResolvConf
	var err error
	c.config, c.stamp, err = readResolvConf(c.path)
	return c, err
}

// exchange asks the servers in order, in rounds. One that has refused or failed is
// not asked again: only silence may have been a lost packet.
func (c *client) exchange(ctx context.Context, q question) (*answer, *Error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, &Error{Kind: Timeout, Err: context.Cause(ctx)}
	}
	conf := c.current()
	var worst *Error
	for servers := c.inOrder(conf.servers); conf.rounds > 0 && len(servers) > 0; conf.rounds-- {
		var silent []netip.AddrPort
		for _, server := range servers {
			a, err := c.askServer(ctx, server, conf, q)
			if err == nil {
				return a, nil
			}
			worst = worse(worst, err)
			if ctx.Err() != nil {
				return nil, worst
			}
			if err.Kind == Timeout || err.Kind == Unreachable {
				silent = append(silent, server)
			}
		}
		servers = silent
	}
	return nil, worst
}

// worse picks the failure that tells more.
func worse(a, b *Error) *Error {
	rank := []Kind{Unreachable, Timeout, Refused, ServFail}
	if a == nil || slices.Index(rank, b.Kind) > slices.Index(rank, a.Kind) {
		return b
	}
	return a
}

func (c *client) askServer(ctx context.Context, server netip.AddrPort, conf config, q question) (*answer, *Error) {
	m, err := exchange(ctx, server, conf.timeout, q)
	c.note(server, err)
	if err != nil {
		return nil, err
	}
	a, bad := newAnswer(m, q.name, q.qtype, c.now())
	if bad != nil {
		return nil, &Error{Kind: ServFail, Err: fmt.Errorf("server %v: %w", server, bad)}
	}
	a.secure = m.AuthenticatedData && c.trusts(server, conf)
	return a, nil
}

// trusts reports whether the server's AD bit counts: nobody can have set it on the
// way if the server is on this host, or if the administrator says so.
func (c *client) trusts(server netip.AddrPort, conf config) bool {
	switch c.trust {
	case "yes":
		return true
	case "no":
		return false
	}
	return conf.trustAD || server.Addr().Unmap().IsLoopback()
}

// note remembers whether a server answers at all.
func (c *client) note(server netip.AddrPort, err *Error) {
	c.mu.Lock()
	_, wasDown := c.down[server]
	isDown := err != nil && (err.Kind == Timeout || err.Kind == Unreachable)
	if isDown {
		c.down[server] = c.now().Add(downFor)
	} else {
		delete(c.down, server)
	}
	c.mu.Unlock()
	switch {
	case isDown && !wasDown:
		c.logger.Warn("DNS server does not answer", "server", server.String(), "error", err)
	case !isDown && wasDown:
		c.logger.Info("DNS server answers again", "server", server.String())
	}
}

// inOrder puts servers that lately did not answer behind the others.
func (c *client) inOrder(servers []netip.AddrPort) []netip.AddrPort {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	isDown := func(s netip.AddrPort) int {
		if now.Before(c.down[s]) {
			return 1
		}
		return 0
	}
	return slices.SortedStableFunc(slices.Values(servers), func(a, b netip.AddrPort) int { return isDown(a) - isDown(b) })
}

// current gives the configuration with all gaps filled.
func (c *client) current() config {
	c.mu.Lock()
	conf := c.config
	c.mu.Unlock()
	conf.timeout = cmp.Or(c.timeout, conf.timeout, defaultTimeout)
	conf.rounds = cmp.Or(c.rounds, conf.rounds, defaultRounds)
	return conf
}

// reload reads resolv.conf again if it has changed, and reports whether it had.
func (c *client) reload() bool {
	if c.path == "" {
		return false
	}
	info, err := os.Stat(c.path)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil || c.stamp == (stamp{info.ModTime(), info.Size()}) {
		return false // a file that is being replaced will be back
	}
	conf, st, err := readResolvConf(c.path)
	if err != nil {
		c.logger.Warn("keep old DNS servers: cannot read resolver configuration", "error", err)
		return false
	}
	c.config, c.stamp = conf, st
	c.logger.Info("resolver configuration has changed", "file", c.path)
	return true
}
