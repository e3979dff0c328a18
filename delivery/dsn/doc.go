// Package dsn composes the reports that tell a sender what became of a message
// (RFC 3464 in the container of RFC 6522; RFC 6533 for international mail).
//
// One report:
//
//  1. [Survey] reads the message once and notes what the report must declare of
//     it before it is streamed: how long its header is, and where it has 8-bit content.
//  2. [Report.Compose] writes the header (RFC 3834 §5, RFC 5322),
//  3. a part in plain words: which recipient, who said what, what to do,
//  4. a part for machines, with a block of fields for each recipient,
//  5. and the message, or its header alone, byte for byte as it was stored.
//
// Replies and addresses come from strangers. Control characters are replaced,
// lines folded, and nothing in them can begin a field or a part.
//
// The package does not decide who is told of what, and sends nothing.
package dsn
