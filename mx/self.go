package mx

import (
	"net"
	"net/netip"
	"slices"
)

// identity is Self made ready for comparing.
type identity struct {
	names map[string]bool
	// addresses of listeners on the port that hosts are connected to.
	addresses []netip.Addr
}

func newIdentity(s Self) *identity {
	id := &identity{names: map[string]bool{}}
	for _, name := range s.Names {
		if n, err := normalizeName(name); err == nil {
			id.names[n] = true
		}
	}
	for _, l := range s.Listeners {
		// Listeners on other ports are other services: a host reached on its own
		// port is not this one, though it has our address.
		if l.Port() == s.Port {
			id.addresses = append(id.addresses, l.Addr().Unmap())
		}
	}
	return id
}

// cutByName applies the loop rule (RFC 5321 §5.1) by our names: if one is in the
// list, it goes, and so does all that is of equal or worse preference.
func (id *identity) cutByName(targets []target) ([]target, bool) {
	i := slices.IndexFunc(targets, func(t target) bool { return id.names[t.name] })
	if i < 0 {
		return targets, false
	}
	limit := targets[i].preference
	return slices.DeleteFunc(targets, func(t target) bool { return t.preference >= limit }), true
}

// cut applies the loop rule by our names and by the addresses we listen on.
func (id *identity) cut(list []found) ([]found, bool) {
	interfaces := []netip.Addr(nil)
	if slices.ContainsFunc(id.addresses, netip.Addr.IsUnspecified) {
		interfaces = interfaceAddresses()
	}
	i := slices.IndexFunc(list, func(f found) bool {
		return id.names[f.host.Name] || slices.ContainsFunc(f.host.Addresses, func(a netip.Addr) bool { return id.owns(a, interfaces) })
	})
	if i < 0 {
		return list, false
	}
	limit := list[i].host.Preference
	return slices.DeleteFunc(list, func(f found) bool { return f.host.Preference >= limit }), true
}

// owns reports whether a connection to the address would reach a listener of ours.
func (id *identity) owns(addr netip.Addr, interfaces []netip.Addr) bool {
	return slices.ContainsFunc(id.addresses, func(listener netip.Addr) bool {
		switch {
		case addr.IsUnspecified():
			// The kernel takes such a destination for the loopback address.
			return listener.IsUnspecified() || listener.IsLoopback()
		case !listener.IsUnspecified():
			return addr == listener
		case listener.Is4() && !addr.Is4():
			return false
		}
		// All of 127.0.0.0/8 is local, though the interface has one address of it.
		return addr.IsLoopback() || slices.Contains(interfaces, addr)
	})
}

// interfaceAddresses gives the addresses of this host's interfaces. It is asked each
// time, since they come and go; without an answer only names and loopback count.
func interfaceAddresses() []netip.Addr {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for _, n := range nets {
		if prefix, err := netip.ParsePrefix(n.String()); err == nil {
			list = append(list, prefix.Addr().Unmap().WithZone(""))
		}
	}
	return list
}
