// Package lmtp hands one message to a mail store over LMTP (RFC 2033) and says for
// every recipient what the store replied.
//
// What [Client.Deliver] does, in order:
//
//  1. Connect to a unix socket or a TCP address: greeting, LHLO.
//  2. MAIL and RCPT for each recipient, in groups where the store offers PIPELINING
//     (RFC 2920), then DATA by itself: what it answers depends on the recipients.
//  3. The message with its final dot, after which the store replies once for each
//     recipient it has accepted, in their order.
//  4. QUIT. Recipients that were put off because they were too many get a further
//     transaction first.
//
// A recipient is decided on by its own reply. Trouble with the session, up to the
// reply to MAIL, is trouble between the store and this host: it never fails a
// recipient, and its text says what to look at.
//
// Every wait is bounded, and so is the amount of text a store may send. Over TCP
// everything travels in clear text and nobody proves who he is: the store has to be
// on this host or on a network that is trusted.
//
// The package does not retry, keep connections, or change the message.
package lmtp
