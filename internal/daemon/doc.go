// Package daemon builds all the parts, connects them, and runs them until it is
// told to stop. It is the only wiring there is.
//
//  1. Open the spool. Its lock is the guard against a second daemon.
//  2. Listen: sockets handed over by systemd, else our own.
//  3. Run intake, maildrop reader, scheduler and control; say that we are ready.
//  4. SIGHUP: read the configuration again; a wrong one changes nothing.
//  5. SIGTERM: take no more, let sessions past the final dot finish, give the rest
//     back to the queue, close the spool.
package daemon
