// Package sendmail is the sendmail command: it takes a message from any program
// of this host and brings it to where it is durable.
//
//  1. [Run] reads the command line by the grammar of sendmail, which callers know
//     since decades, and the configuration.
//  2. The envelope is made: the sender is who calls, or -f; the recipients are the
//     operands and, with -t, those in the header.
//  3. The whole message is read from standard input and fixed up. Until its end is
//     seen nothing is begun elsewhere, so that who is killed leaves nothing.
//  4. The message goes in by the first way that is open: SMTP on the submission
//     socket, the spool itself if it is ours, a file in the maildrop. It carries an
//     id, so that what was taken by one way though it did not say so, and then by
//     another, is one message.
//  5. The exit status is 0 only if it is durable, and then nothing was printed.
//
// With -bs the command is an SMTP server on standard input and output; each message
// it gets goes in by steps 3 and 4, whether a daemon runs or not. With -bv it tells
// where addresses lead, by what the files of this host say.
//
// The command needs no privilege and has none to lend. It must start in no time:
// it links no TLS, no DNS, no regular expressions and not even package net, and the
// usual call, which the daemon answers, goes by on one thread: with plain files and
// a plain blocking socket, two round trips, and no signal handler until there is
// something to clean up. Listings, queue runs and the daemon are the postrider
// program's, which takes the command's place for them.
package sendmail
