// Package dnstest is a small DNS server for tests and demonstrations: it answers
// like a recursive resolver from a master file given as text, and misbehaves on
// demand.
//
//	s := dnstest.New(t, `
//		example.com.    300 IN MX 10 mx.example.com.
//		mx.example.com. 300 IN A  127.0.0.1`)
//	s.Set("slow.example.com", "MX", dnstest.Behaviour{Silent: true})
//	… point the resolver at s.Addr …
//	s.Queries("example.com", "MX") // how often it was asked
//
// It knows no delegation: all names are in one flat space, a name exists if it or
// something below it has a record, and "*." owners are wildcards (RFC 4592). A
// negative answer carries the SOA of the nearest enclosing name that has one.
package dnstest
