// Package daemon builds all the parts, connects them, and runs them until it is
// told to stop. It is the only wiring there is.
//
//  1. Started as root with a spool of another user: listen on the network, start
//     the helper for local delivery, become that user.
//  2. Open the spool. Its lock is the guard against a second daemon.
//  3. Listen: sockets handed over by systemd, else our own.
//  4. Run intake, maildrop reader, scheduler and control; say that we are ready.
//  5. SIGHUP: read the configuration again; a wrong one changes nothing.
//  6. SIGTERM: take no more, let sessions past the final dot finish, give the rest
//     back to the queue, close the spool.
package daemon
