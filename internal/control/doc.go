// Package control lets administrators and users look at the queue and steer it:
// the operations, their protocol over a unix socket, and the ways a queue is
// printed.
//
//  1. [Queue] is what can be done. [Local] does it on an open store.
//  2. [Server] offers it as HTTP on the control socket. The kernel says who calls:
//     root, the daemon's user and members of its group see and do everything,
//     others see and delete their own messages only, and may flush.
//  3. [Client] asks the server. Listings are rendered where the store is, in the
//     [Format] asked for, and only copied after that.
//
// Listings and flushes take a queue.Filter; the empty one means every message. What
// changes messages names them: who asks lists first, and may stop in between.
package control
