// Package policy answers, for a reverse-path and a recipient, which way mail goes
// and under which conditions: local delivery, a smarthost or straight to the MX
// hosts, and what TLS is demanded there and why.
//
//  1. [Routes.Destination] names the queue a recipient waits in.
//  2. [Routes.Route] says, at each attempt anew, how its mail travels now.
//  3. [Masquerades.Rewrite] says as whom mail that leaves this host is from.
//
// It looks nothing up and opens no connection: finding hosts is the job of
// package mx, talking to them of package delivery.
package policy
