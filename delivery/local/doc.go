// Package local delivers one message to one recipient on this host: into a
// mailbox, a file or a command, all of it or nothing.
//
// One delivery:
//
//  1. Plan says who has to make it: the user whose mailbox it is, whose .forward
//     named the file or command, or the default user. The local part of an address
//     names a user as written, in lower case, and without its extension. The
//     password database has the last word; no other text ever becomes part of a
//     path.
//  2. A message that already carries a Delivered-To field for this recipient is a
//     loop and fails.
//  3. A user's .forward is read by a process of that user. It counts if it is a
//     regular file with one name and at most 64 KiB, belongs to the user or root,
//     is writable to nobody else, and says anything; then its text is the outcome
//     and nothing is delivered. If it breaks a rule, it is logged and passed over.
//     If it cannot be reached, the message waits. That of root is never read.
//  4. The message goes where Plan said, with Return-Path, X-Original-To and
//     Delivered-To on top. Files, and directories where a name is new, are synced.
//
// An mbox, a user's or a file that an alias names, is locked twice, by a dot lock
// ("alice.lock") and a POSIX fcntl lock, opened without following a link, and
// appended to: a From_ line, the message with ">" before lines that begin with
// "From " (RFC 4155, mboxo), and one empty line. Upon any error the file is cut back
// to its former length. No more than its last two bytes are read.
//
// In a Maildir the message is written to tmp and linked into new.
//
// A command gets a From_ line and the message on its standard input. It is run
// without a shell if its command line needs none, in a session of its own, with
// umask 077, a fixed environment and no other open file, for a bounded time. Its
// exit status is the outcome, as in sysexits(3).
//
// If the machine dies in between, an mbox may end in a part of the message, which is then
// delivered again, whole; the next append always starts after an empty line, so the
// torn end damages nothing that follows it. A command may get a message again.
//
// As root the package writes to mboxes alone, where only root and the account
// "mail" can rearrange the way to them, and to the Maildir of root. Everything else
// takes a process of its owner: the package does not change its uid. It expands no
// aliases, and the text of a .forward means nothing to it.
package local
