// Package mailboxd delivers into mailboxes for a daemon that may not touch them:
// a helper that runs as root becomes the recipient and appends as that user.
//
//  1. The daemon's Client connects, to the helper's socket or through a Helper
//     that it started itself, and sends one request: envelope, then the message.
//  2. The Server asks the kernel who connected: the owner of the spool and root
//     are served, nobody else.
//  3. It reads the envelope, which is bounded, and looks the recipient up. One
//     delivery at a time is made for each user.
//  4. It starts this program again as that user, with the user's groups, and hands
//     it the connection. Where only root and the account "mail" can rearrange the
//     mail directory, the process has the group "mail" as well, and as its own
//     group: that keeps the user's other processes from tracing it.
//  5. That process takes the message and delivers it as package local does. A
//     message that does not come to its end leaves the mailbox as it was.
//  6. It answers with the outcome. A connection that ends without one means that
//     the message waits and is delivered again.
//
// As root the helper opens no mailbox and writes no file, except that the mail of
// root is delivered by a process of root's. Neither it nor what it starts reads a
// .forward or runs a command.
package mailboxd
