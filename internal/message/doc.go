// Package message reads a message as a stream and makes it fit to be queued, and
// later fit to be sent:
//
//  1. [New] wraps the input. Line ends become LF, a lone dot may end the input.
//  2. [Reader.Header] reads the header, drops what must not travel (Bcc and the
//     like), completes addresses, adds Date, Message-ID and From where they are
//     missing, and tells what the envelope needs to know.
//  3. [Reader.Read] yields the message so fixed: header, one blank line, body.
//  4. [Received] composes the trace field that is put on top of it.
//  5. [Inspect] finds what could keep a stored message from being sent as it is.
//  6. [Masquerade] replaces the addresses of who a stored message is from.
//  7. [Outgoing] makes it safe for SMTP: CRLF, no bare CR, no NUL, no line beyond
//     998 octets, and 7 bits where the peer knows no more.
//
// The header is held in memory up to [MaxHeader] bytes; bodies never are. The
// package does not talk SMTP, and dot-stuffing is the business of who does.
package message
