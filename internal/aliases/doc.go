// Package aliases says where mail for a local address goes: it reads aliases(5)
// and forward(5) files and expands names to targets.
//
//  1. A name is looked up as it is written, without regard to case, then without
//     its "+extension".
//  2. Each target of an entry is an address, a command, a file, or an include
//     file of more targets. Addresses of local domains are looked up again; what
//     was looked up on the way there is not, so that every expansion ends.
//  3. A name without an entry is a user of this host; one behind a backslash is
//     that user's mailbox. A user's .forward is not read here: who delivers reads
//     it as that user, and hands the text to [Expander.Forward].
//  4. A list with an "owner-" entry gives its members the owner as reverse-path.
//
// The files are read when they have changed, so that there is no compiled map
// that could be stale.
package aliases
