// Package smtpd speaks SMTP to those who hand mail in: programs of this host on
// the submission socket, and hosts over TCP.
//
// What a connection goes through:
//
//  1. The listener admits it within the limits and notes who it is: the kernel's
//     word for the socket's peer, the address for a network client.
//  2. A guard stands between the connection and the protocol engine
//     (emersion/go-smtp). It hands the engine one command line at a time and, by
//     the replies, knows as the engine does what comes next: a command, a body or
//     a chunk. It alone decides where a body ends, mends what the engine cannot
//     take, keeps the time limits, and ends the connection where going on could
//     turn the rest of a body into commands. Of a body sent with DATA the engine
//     sees only the end: the session reads it from the guard. TLS comes below it, so
//     that it answers STARTTLS itself and nothing said before counts after.
//  3. On a submission service the client logs in, under TLS and by a mechanism of
//     package logins' hashes, before it may begin a message.
//  4. The session collects the envelope and passes the message on to the intake.
//     The reply to the final dot is given when the message is durable.
//
// The package keeps no mail and makes no rules: those are package submission's.
package smtpd
