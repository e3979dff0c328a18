package mx

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
)

// Resolver looks next hops up. It is safe for concurrent use.
type Resolver struct {
	opts   Options
	client *client
	cache  *cache
	self   atomic.Pointer[identity]

	flights singleflight.Group
	// base ends with Close; answers being awaited belong to all who ask, so that
	// no single caller's context may end them.
	base   context.Context
	cancel context.CancelFunc

	mu      sync.Mutex
	closed  bool
	pending sync.WaitGroup
	rand    *rand.Rand // nil: the process's
}

// New makes a Resolver. It fails on options that make no sense and on servers that
// are not "address:port"; a missing resolv.conf stands for a server on 127.0.0.1.
func New(o Options) (*Resolver, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("configure DNS: %w", err)
	}
	c, err := newClient(&o)
	if err != nil {
		return nil, fmt.Errorf("configure DNS: %w", err)
	}
	r := &Resolver{opts: o, client: c, cache: newCache(o.CacheSize)}
	r.base, r.cancel = context.WithCancel(context.Background())
	if o.Rand != nil {
		r.rand = rand.New(o.Rand)
	}
	r.SetSelf(o.Self)
	return r, nil
}

// SetSelf replaces what this host is known by, for lookups from now on.
func (r *Resolver) SetSelf(s Self) { r.self.Store(newIdentity(s)) }

// Close ends questions under way and waits for their goroutines. Lookups fail from
// then on.
func (r *Resolver) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.pending.Wait()
	return nil
}

// Lookup finds the hosts for a domain (U-labels or A-labels) or an address literal
// ("[192.0.2.1]", "[IPv6:2001:db8::1]"). Errors are *Error.
func (r *Resolver) Lookup(ctx context.Context, next string) (*Hosts, error) {
	hop, err := parseNextHop(next)
	switch {
	case err != nil:
		return nil, &Error{Kind: Malformed, Domain: next, Err: err}
	case hop.address.IsValid():
		return r.lookupLiteral(ctx, hop)
	case isLocalhost(hop.name):
		return r.lookupImplicit(ctx, hop.name, &answer{})
	}
	a, err := r.query(ctx, hop.name, typeMX)
	if err != nil {
		return nil, forDomain(err, hop.name)
	}
	switch {
	case a.status == nameError:
		return nil, &Error{Kind: NoDomain, Domain: hop.name, Name: a.name}
	case len(a.targets) == 0:
		return r.lookupImplicit(ctx, hop.name, a)
	case len(a.targets) == 1 && a.targets[0] == target{}:
		return nil, &Error{Kind: NullMX, Domain: hop.name, Name: a.name}
	}
	return r.lookupMX(ctx, hop.name, a)
}

// LookupHost finds the addresses of a host that is not looked up by MX: a smarthost
// given as host and port. The name may also be an address, bare or in brackets. The
// loop rule is not applied, since only the caller knows the port. Errors are *Error;
// whether a smarthost that does not exist makes mail fail is the caller's to decide.
func (r *Resolver) LookupHost(ctx context.Context, name string) (*Hosts, error) {
	hop, err := parseNextHop(name)
	if bare, bareErr := parseLiteral(name); bareErr == nil {
		hop, err = bare, nil
	}
	if err != nil {
		return nil, &Error{Kind: Malformed, Domain: name, Err: err}
	}
	f := r.addressesOf(ctx, hop, target{name: hop.name})
	if f.host.Err != nil {
		return nil, forDomain(f.host.Err, hop.name)
	}
	return &Hosts{Domain: hop.name, List: []Host{f.host}, Secure: f.host.Secure, TTL: f.ttl, site: hop.name}, nil
}

func (r *Resolver) lookupLiteral(ctx context.Context, hop nextHop) (*Hosts, error) {
	f := r.addressesOf(ctx, hop, target{name: hop.name})
	h := &Hosts{Domain: hop.name, TTL: f.ttl, site: hop.name}
	return r.conclude(h, []found{f})
}

// lookupImplicit takes the domain for its own host (RFC 5321 §5.1); a is the answer
// that says it has no MX.
func (r *Resolver) lookupImplicit(ctx context.Context, domain string, a *answer) (*Hosts, error) {
	f := r.addressesOf(ctx, nextHop{name: domain}, target{name: domain})
	h := &Hosts{Domain: domain, Implicit: true, Secure: a.secure, TTL: f.ttl, site: domain}
	if !isLocalhost(domain) {
		h.TTL = min(f.ttl, a.ttl(r.opts.Now()))
	}
	return r.conclude(h, []found{f})
}

func (r *Resolver) lookupMX(ctx context.Context, domain string, a *answer) (*Hosts, error) {
	targets := r.order(a.targets)
	h := &Hosts{Domain: domain, Secure: a.secure, TTL: a.ttl(r.opts.Now()), site: siteOf(targets)}
	targets, h.SelfRemoved = r.self.Load().cutByName(targets)
	list := r.resolveAll(ctx, targets[:min(len(targets), maxHosts)])
	for _, f := range list {
		h.TTL = min(h.TTL, f.ttl)
	}
	return r.conclude(h, list)
}

// conclude applies the loop rule and decides whether anything is left to try.
func (r *Resolver) conclude(h *Hosts, list []found) (*Hosts, error) {
	list, cut := r.self.Load().cut(list)
	h.SelfRemoved = h.SelfRemoved || cut
	var temporary, permanent *Error
	usable := false
	for _, f := range list {
		var e *Error
		switch {
		case !errors.As(f.host.Err, &e):
			usable = true
		case e.Temporary():
			temporary = e
		default:
			permanent = e
		}
		if e != nil {
			f.host.Err = forDomain(e, h.Domain)
		}
		h.List = append(h.List, f.host)
	}
	switch {
	case usable:
		return h, nil
	case temporary != nil:
		return nil, forDomain(temporary, h.Domain)
	case h.SelfRemoved:
		return nil, &Error{Kind: Loop, Domain: h.Domain, Err: errors.New("this host is the best of those the domain names, or the only one with an address")}
	case h.Implicit:
		return nil, &Error{Kind: NoHost, Domain: h.Domain, Name: h.Domain}
	case permanent != nil:
		return nil, &Error{Kind: NoUsableMX, Domain: h.Domain, Name: permanent.Name, Err: errors.New(permanent.Kind.String())}
	}
	return nil, &Error{Kind: NoUsableMX, Domain: h.Domain, Name: h.Domain}
}

// isLocalhost reports names that always mean this host (RFC 6761 §6.3).
func isLocalhost(name string) bool {
	return name == "localhost" || strings.HasSuffix(name, ".localhost")
}

// forever is the TTL of what no zone can change.
const forever = 24 * time.Hour
