// Package queue defines what postrider keeps for every message it has accepted:
// the message with its envelope, its deliveries, the outcomes of their attempts,
// and the [Store] contract that keeps all of it durable.
//
// In the order of a message's life:
//
//  1. A [Draft] takes the body as a stream. Nothing is accepted yet.
//  2. [Draft.Commit] makes body, [Message] and [Delivery] records durable in one
//     step. This is the only point of acceptance.
//  3. [Store.Claim] leases due deliveries to whoever attempts them.
//  4. [Store.Record] ends an attempt with one [Outcome] for each recipient and
//     gives the lease back. A recipient may end by others taking its place, which
//     the same step adds to the message ([Added]).
//  5. [Store.Settle] notes that the sender has been told what it had to be told,
//     in the same step as the report it was told with.
//  6. When every recipient has ended and nothing is owed, the message retires:
//     body and envelope go, its history stays for a while.
//
// The package knows nothing of SMTP, DNS or files: destinations are opaque
// strings, and time always comes from the caller.
package queue
