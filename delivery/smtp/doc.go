// Package smtp hands one message to one host address in SMTP transactions on
// pooled connections, and says for every recipient what the host replied.
//
// What [Client.Send] does, in order:
//
//  1. Take an idle connection made under the same conditions, or dial: greeting,
//     EHLO (HELO where EHLO is refused), STARTTLS and handshake as the [Target]
//     demands, EHLO again, AUTH.
//  2. Compare what the message needs with what the host offers: SIZE, 8BITMIME,
//     SMTPUTF8. Nothing is said where it cannot work.
//  3. MAIL, RCPT for each recipient, DATA if one was accepted; or all of them at
//     once where the host offers PIPELINING (RFC 2920).
//  4. Sort the replies: which are final for a recipient, which only say that this
//     host will not do now (RFC 5321 §4.2, §4.5.3.1.10). Recipients put off
//     because they are too many get a further transaction.
//  5. Keep the connection for the next message, or end it.
//
// Every wait is bounded by the times of RFC 5321 §4.5.3.2 and all of them
// together by a budget; the amount of text a peer may send is bounded too.
//
// The package looks up no hosts, decides no TLS policy and retries nothing later:
// it is told a host, an address and conditions, and reports. The commands of hosts
// without PIPELINING are go-smtp's; the connection under it is our own and hands it
// one well-formed reply at a time, while the peer's words are kept for the report.
package smtp
