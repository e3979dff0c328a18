// Package schedule decides which delivery is attempted next, and when it is tried again.
//
// The way of a delivery through it:
//
//  1. [queue.Store.Waking] and [queue.Store.Watch] tell which destinations have
//     something to do, and when. They wait in a heap; messages do not.
//  2. A destination that wakes is assigned to its site: the hosts that take its
//     mail, as [Agent.Site] names them.
//  3. Some of its due deliveries are leased into a bounded window.
//  4. Sites take turns, within a site its destinations, within a destination the
//     senders; new mail goes three to one before mail tried before.
//  5. [Agent.Deliver] attempts the delivery. Its [Verdict] widens or narrows the
//     site's concurrency, or suspends a site that does not answer.
//  6. The outcomes are recorded, with the time of the next attempt. Only then is
//     the slot free, so that a crash leaves no more deliveries in doubt than there
//     were attempts.
//
// Beside it the agenda is kept: what has expired is concluded, senders who are
// owed a report get it through the [Reporter], old history is forgotten.
//
// The package knows nothing of SMTP, DNS or reports: it moves leases from the
// store to the agent and outcomes back.
package schedule
