// Package submission takes in every message, whichever door it came by, and
// hands it to the queue.
//
// For each message, in this order:
//
//  1. The envelope: bare addresses are completed, recipients named twice become
//     one, and those that may not be written to from there are refused.
//  2. Who hands it in is told by the kernel or by a login. If a sender rule names
//     them, the reverse-path is that rule's or one it allows, and so is From.
//  3. The message streams through the header fix-up into a draft in the store,
//     under a Received field that names the uid or the client it came from.
//  4. Size and number of hops are judged before anything is accepted.
//  5. The draft is committed, each recipient with the destination that the
//     router gives it. From then on the message is ours; before, nothing is kept.
//
// Refusals are values of type [*Error], which carry the words of SMTP and of the
// sendmail command alike. The package opens no connection and no listener, so
// that the sendmail command, which must start fast, can link it too.
package submission
