// Package local delivers one message into the mbox file of one user of this
// host, all of it or nothing.
//
// One delivery:
//
//  1. The recipient's local part names a user: as written, in lower case, and
//     without its "+extension". The password database has the last word; no
//     other text ever becomes part of a path.
//  2. A message that already carries a Delivered-To field for this recipient is
//     a loop and fails.
//  3. The mailbox is locked twice, as other programs expect: a dot lock
//     ("alice.lock") and a POSIX fcntl lock. Either both are held or neither;
//     the wait is bounded.
//  4. The file is opened without following a link and must be a regular file
//     with one name that belongs to the user; else the message waits.
//  5. The message is appended: From_ line, Return-Path, X-Original-To,
//     Delivered-To, then header and body with ">" before lines that begin with
//     "From " (RFC 4155, mboxo), and one empty line.
//  6. File, and directory when the file is new, are synced. Upon any error the
//     file is cut back to its former length and the message waits.
//
// If the machine dies between 5 and 6, the mailbox may end in a part of the
// message, which is then delivered again, whole; the next append always starts
// after an empty line, so the torn end damages nothing that follows it.
//
// The package does not change its uid, expand aliases or run commands.
package local
