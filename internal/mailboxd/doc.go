// Package mailboxd does for the daemon what takes another user: a helper that runs
// as root becomes the user and delivers, or reads a file, as that user.
//
//  1. The daemon's Client connects, to the helper's socket or through a Helper
//     that it started itself, and sends one request: to deliver, to look for a
//     .forward, or to read a file of addresses. The message follows a delivery.
//  2. The Server asks the kernel who connected: the owner of the spool and root
//     are served, nobody else.
//  3. It reads the request, which is bounded, and has package local plan who must
//     do it. Mailboxes of a user get one delivery at a time; of the commands of a
//     user a few run at once.
//  4. It starts this program again as that user, with the user's groups, and hands
//     it the connection. For a mailbox to which only root and the account "mail"
//     can rearrange the way, the process has the group "mail" as well, and as its
//     own group: that keeps the user's other processes from tracing it. Whatever
//     runs a command or writes a file for a user has the user's own group.
//  5. That process takes the message and does as package local says: one process
//     both looks for the .forward and delivers. A message that does not come to
//     its end leaves the mailbox as it was, and its command is killed.
//  6. It answers with the outcome. A connection that ends without one means that
//     the message waits and is delivered again.
//
// As root the helper opens no mailbox, reads no .forward, writes no file and runs no
// command, except that the mailbox of root is written by a process of root's.
// Requests for files, commands and lists of root, or of another name with uid 0, are
// refused. It does not keep commands from gaining rights by set-id programs, as the
// user may in any other way.
package mailboxd
