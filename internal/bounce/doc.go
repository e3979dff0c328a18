// Package bounce tells senders what became of their mail: it makes the reports a
// message owes and settles them in the queue.
//
// For one message:
//
//  1. Read where its recipients stand. Failures share one report, successes that
//     were asked for another (RFC 3461 §4.1); a delay notice tells of those still
//     being tried.
//  2. Decide who is told. The sender; for the members of a list with an owner the
//     owner, in reports of its own; for a failed report of ours the postmaster,
//     once; nobody where the reverse-path is null or the message came from a
//     machine or a list that reads no delay notices (RFC 3834 §2).
//  3. Compose the report into a draft, with the null reverse-path (RFC 5321 §4.5.5).
//  4. Commit it in one step with the note that the sender has been told. If that
//     does not happen, nothing has, and the next call starts over.
//
// Mail breeds no mail without end: a recipient of ordinary mail is told of once,
// a delay once a message, a report causes at most a copy to the postmaster, and
// that copy causes nothing.
package bounce
