// Package delivery takes one attempt of one delivery to an outcome for each of
// its recipients.
//
// The recipe of [Agent.Deliver]:
//
//  1. Ask policy for the way of each recipient, as it is now. Recipients whose
//     destination has changed since they were queued are moved, not tried.
//  2. Local recipients: append to each mailbox.
//  3. Others: find the hosts, of the recipient's domain or of each smarthost in
//     turn, by package mx.
//  4. For each host and address in order: one SMTP transaction for all recipients
//     still undecided, by package delivery/smtp. What the host said for good of a
//     recipient is its outcome; the rest go on to the next host.
//  5. Recipients no host has decided on are deferred with the last reason; only
//     authoritative answers and permanent replies fail them.
//
// It keeps no queue, computes no retry time and composes no report.
package delivery
