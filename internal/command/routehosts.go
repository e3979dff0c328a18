package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"postrider/internal/address"
	"postrider/internal/config"
	"postrider/internal/sysexits"
	"postrider/mx"
	"postrider/policy"
)

// lookupsAtOnce bounds how much the DNS is asked for the members of a list.
const lookupsAtOnce = 8

// hop is a name whose hosts are to be found.
type hop struct {
	name string
	port uint16
	byMX bool // its MX hosts are meant, or an address literal
	ours bool // a smarthost: trouble with it never fails mail
}

// relays notes the smarthosts of a way, in order, each with the rule that makes it one.
func (l *routeLeaf) relays(way policy.Route, from, to address.Address) {
	for _, s := range way.Smarthosts {
		l.Smarthosts = append(l.Smarthosts, routeSmarthost{Address: s.Address, TLS: relayTLS(s), Username: s.Username, Rule: relayRule(s, from, to)})
		l.hops = append(l.hops, relayHop(s))
	}
	l.TLS, l.Reason = l.Smarthosts[0].TLS, "smarthost: "+l.Smarthosts[0].Rule
}

// relayTLS is what a smarthost must offer, in the configuration's word.
func relayTLS(s policy.Smarthost) string {
	switch {
	case s.Implicit:
		return "implicit"
	case s.TLS == policy.Verified:
		return "starttls"
	}
	return directTLS(s.TLS)
}

// directTLS is the configuration's word for hosts found by MX.
func directTLS(r policy.Requirement) string {
	switch r {
	case policy.Verified:
		return "secure"
	case policy.Clear:
		return "none"
	}
	return "opportunistic"
}

// relayRule says why the smarthost is used between these two.
func relayRule(s policy.Smarthost, from, to address.Address) string {
	var why []string
	for _, limit := range []struct {
		key      string
		patterns []string
		address  address.Address
	}{{"for_senders", s.ForSenders, from}, {"for_recipients", s.ForRecipients, to}} {
		for _, p := range limit.patterns {
			if policy.Match(p, limit.address) {
				why = append(why, fmt.Sprintf("%s = %q", limit.key, p))
				break
			}
		}
	}
	if len(why) == 0 {
		return "for all mail to other hosts"
	}
	return strings.Join(why, " and ")
}

// relayHop is where a smarthost is found.
func relayHop(s policy.Smarthost) hop {
	name, port, byMX := s.NextHop()
	return hop{name: name, port: port, byMX: byMX, ours: true}
}

// findHosts asks the DNS for the hosts of all leaves.
func (t *routeTracer) findHosts(ctx context.Context) error {
	resolver, err := mx.New(mx.Options{
		Servers: t.cfg.DNS.Servers, TrustAD: t.cfg.DNS.TrustAD, Family: mx.Family(t.cfg.Delivery.IPFamily), Self: self(t.cfg),
	})
	if err != nil {
		return exit(sysexits.Config, "dns: %w", err)
	}
	defer resolver.Close()
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	var group errgroup.Group
	group.SetLimit(lookupsAtOnce)
	for i := range t.report.Leaves {
		leaf := &t.report.Leaves[i]
		if leaf.Outcome == "" && len(leaf.hops) > 0 {
			group.Go(func() error { leaf.findHosts(ctx, resolver); return nil })
		}
	}
	return group.Wait()
}

// self is what this host is known by, so that loops show.
func self(c *config.Config) mx.Self {
	s := mx.Self{Names: []string{c.Hostname}, Port: uint16(c.Delivery.Port)}
	for _, text := range c.Submission.Listen {
		if l, err := config.ParseListener(text); err == nil {
			s.Listeners = append(s.Listeners, l.Address)
		}
	}
	return s
}

// findHosts lists the hosts that would be tried, in order. Where there is none,
// it says what would become of the mail.
func (l *routeLeaf) findHosts(ctx context.Context, resolver *mx.Resolver) {
	usable, temporary, trouble := false, false, ""
	for _, h := range l.hops {
		lookup := resolver.LookupHost
		if h.byMX {
			lookup = resolver.Lookup
		}
		hosts, err := lookup(ctx, h.name)
		if err != nil {
			var e *mx.Error
			temporary = temporary || h.ours || !errors.As(err, &e) || e.Temporary()
			trouble = err.Error()
			l.Hosts = append(l.Hosts, routeHost{Name: h.name, Addresses: []string{}, Port: h.port, Error: trouble})
			continue
		}
		usable = true
		for _, host := range hosts.List {
			l.Hosts = append(l.Hosts, describeHost(host, h.port))
		}
	}
	if !usable {
		l.fail(temporary, trouble)
	}
}

func describeHost(h mx.Host, port uint16) routeHost {
	out := routeHost{Name: h.Name, Addresses: make([]string, len(h.Addresses)), Port: port}
	for i, ip := range h.Addresses {
		out.Addresses[i] = ip.String()
	}
	if h.Err != nil {
		out.Error = h.Err.Error()
	}
	return out
}
