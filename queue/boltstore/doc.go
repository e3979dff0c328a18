// Package boltstore keeps the queue of package queue durable in one bbolt file.
//
// How it works, in the order of a message's life:
//
//  1. [Open] takes the file's lock, refuses what is foreign, damaged or newer,
//     and removes bodies that a crash left without an envelope.
//  2. A draft gathers the body. What exceeds 1 MiB is written ahead in chunks of
//     256 KiB; a message is accepted by the commit that stores its envelope, and
//     by nothing else.
//  3. One writer goroutine takes everything that was submitted while the previous
//     commit ran, applies it in one transaction and answers all of it after the
//     sync. Outcomes of attempts go ahead of new mail.
//  4. Claim walks an index of (destination, new or tried, lane, due, message) in a
//     read transaction. A lane is the hash of a sender; lanes are served in turn.
//     Leases live in memory: the file's lock makes them die with the process.
//  5. Each commit keeps a summary for every destination and, for every message, the
//     time at which it is due for something other than delivery.
//  6. When nothing is left to deliver or to report, the message retires: body and
//     envelope go, one row of history stays until Forget.
//
// A write or sync that fails ends the store: nothing is retried as if it had
// worked. Lack of space is the exception. It is foreseen by a floor below which
// nothing is accepted, and by a ballast file that is given up so that outcomes can
// still be recorded.
//
// This package is the only one that knows of bbolt. It does not decide when
// anything is due, whom to tell of what, or when to compact.
package boltstore
