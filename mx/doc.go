// Package mx answers which hosts take mail for a next hop, in which order, and how
// sure that is.
//
// For a domain:
//
//  1. Ask for its MX records, following aliases (RFC 5321 §5.1).
//  2. No such domain, or a null MX (RFC 7505): a permanent [Error]. No MX record:
//     the domain is its own only host. No sure answer: a temporary [Error].
//  3. Sort by preference, shuffle among equals, keep the first 20 hosts.
//  4. Look up the hosts' IPv4 and IPv6 addresses, several hosts at a time.
//  5. If one host is this one, drop it and all that are not preferred to it.
//  6. If no host with an address is left, say why in an [Error].
//
// Address literals, and hosts looked up by [Resolver.LookupHost], skip what does not
// apply to them.
//
// Answers are kept for as long as the zone allows, within bounds; order and loop
// check are made anew for each call. The package speaks to recursive resolvers
// only and leaves validation to them: "secure" means that a resolver reached over a
// trusted path set the AD bit (RFC 6840 §5.8). It opens no connection to any mail
// host, and knows neither search lists nor /etc/hosts.
package mx
