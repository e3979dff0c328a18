package mx

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// maxHosts bounds the hosts looked at for one next hop: nobody tries more, and
	// a hostile zone shall not make us ask for thousands.
	maxHosts = 20
	// maxParallel bounds the hosts looked up at a time for one next hop.
	maxParallel = 8
)

// found is a host with how long what was found holds.
type found struct {
	host Host
	ttl  time.Duration
}

// order sorts by preference and shuffles among equals, dropping repeated names and
// the "." that stands for no host.
func (r *Resolver) order(targets []target) []target {
	list := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.name == "" })
	r.shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b target) int { return int(a.preference) - int(b.preference) })
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(t target) bool {
		again := seen[t.name]
		seen[t.name] = true
		return again
	})
}

func (r *Resolver) shuffle(n int, swap func(i, j int)) {
	if r.rand == nil {
		rand.Shuffle(n, swap)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rand.Shuffle(n, swap)
}

// resolveAll looks up the addresses of all hosts, in the same order.
func (r *Resolver) resolveAll(ctx context.Context, targets []target) []found {
	list := make([]found, len(targets))
	slots := make(chan struct{}, maxParallel)
	var wg sync.WaitGroup
	for i, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			list[i] = r.addressesOf(ctx, nextHop{name: t.name}, t)
		})
	}
	wg.Wait()
	return list
}

// addressesOf finds the addresses of one host.
func (r *Resolver) addressesOf(ctx context.Context, hop nextHop, t target) found {
	f := found{host: Host{Name: t.name, Preference: t.preference}, ttl: forever}
	switch {
	case hop.address.IsValid():
		f.accept(r.opts.Family, []netip.Addr{hop.address})
		return f
	case isLocalhost(hop.name):
		f.accept(r.opts.Family, []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()})
		return f
	}
	if err := checkName(hop.name); err != nil {
		f.host.Err = &Error{Kind: Malformed, Name: hop.name, Err: err}
		return f
	}
	wanted, other := r.opts.Family.types()
	a := r.addressAnswers(ctx, hop.name, wanted)
	if len(a.addresses) == 0 && a.err == nil && len(other) > 0 {
		a.add(r.addressAnswers(ctx, hop.name, other))
	}
	f.ttl = a.ttl
	f.host.Secure = a.secure
	switch {
	case len(a.addresses) > 0:
		f.accept(r.opts.Family, a.addresses)
	case a.err != nil:
		f.host.Err = a.err
	case a.missing:
		f.host.Err = &Error{Kind: NoDomain, Name: hop.name}
	default:
		f.host.Err = &Error{Kind: NoHost, Name: hop.name, Err: errors.New("host has no address")}
	}
	return f
}

// accept takes addresses in the order to try them. If the configuration rules all
// out, that is our own trouble, and a passing one.
func (f *found) accept(family Family, addresses []netip.Addr) {
	f.host.Addresses = family.arrange(addresses)
	if len(f.host.Addresses) == 0 {
		f.host.Err = &Error{Kind: WrongFamily, Name: f.host.Name, Err: errors.New("see ip_family in the configuration")}
	}
}

// gathered is what several address types of one name have in common.
type gathered struct {
	addresses []netip.Addr
	secure    bool
	missing   bool // the name does not exist
	err       error
	ttl       time.Duration
}

// add joins what was found for other types.
func (g *gathered) add(other gathered) {
	if len(other.addresses) > 0 {
		g.secure = other.secure && (g.secure || len(g.addresses) == 0)
	}
	g.addresses = append(g.addresses, other.addresses...)
	g.missing = g.missing || other.missing
	g.ttl = min(g.ttl, other.ttl)
	if g.err == nil {
		g.err = other.err
	}
}

// addressAnswers asks for the types at the same time. Records of one type make up
// for a failure to get the other.
func (r *Resolver) addressAnswers(ctx context.Context, name string, types []uint16) gathered {
	parts := make([]gathered, len(types))
	var wg sync.WaitGroup
	for i, qtype := range types {
		wg.Go(func() {
			a, err := r.query(ctx, name, qtype)
			if err != nil {
				parts[i] = gathered{err: err, ttl: failureTTL}
				return
			}
			parts[i] = gathered{a.addresses, a.secure, a.status == nameError, nil, a.ttl(r.opts.Now())}
		})
	}
	wg.Wait()
	all := gathered{ttl: forever}
	for _, part := range parts {
		all.add(part)
	}
	return all
}

// types gives the record types to ask for, and those to ask for only to tell a host
// without addresses from one the configuration rules out.
func (f Family) types() (wanted, other []uint16) {
	switch f {
	case IPv4Only:
		return []uint16{typeA}, []uint16{typeAAAA}
	case IPv6Only:
		return []uint16{typeAAAA}, []uint16{typeA}
	}
	return []uint16{typeA, typeAAAA}, nil
}

// arrange filters and orders addresses. Within a family the order is the server's.
func (f Family) arrange(addresses []netip.Addr) []netip.Addr {
	var v4, v6 []netip.Addr
	for _, a := range addresses {
		switch {
		case slices.Contains(v4, a) || slices.Contains(v6, a):
		case a.Is4():
			v4 = append(v4, a)
		default:
			v6 = append(v6, a)
		}
	}
	switch f {
	case IPv4Only:
		return v4
	case IPv6Only:
		return v6
	case PreferIPv4:
		return append(v4, v6...)
	case PreferIPv6:
		return append(v6, v4...)
	}
	return alternate(v6, v4)
}

// alternate takes from a and b in turn, then the rest.
func alternate(a, b []netip.Addr) []netip.Addr {
	list := make([]netip.Addr, 0, len(a)+len(b))
	for i := range max(len(a), len(b)) {
		if i < len(a) {
			list = append(list, a[i])
		}
		if i < len(b) {
			list = append(list, b[i])
		}
	}
	return list
}
