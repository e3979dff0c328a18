// Package e2e proves the promises of the whole system with the programs as they
// are built. It consists of tests only.
//
// Each test has a host and a network of its own:
//
//  1. The programs are built once, into a directory that every user can read.
//  2. A host is a temporary directory with a configuration, a spool and sockets;
//     the daemon runs there as a user of its own when the tests run as root.
//  3. A network is a name server and mail servers on loopback addresses that no
//     other test uses, with faults where a test wants them.
//  4. Mail goes in by the real sendmail or over TCP, and is counted where it
//     arrives.
//
// What needs other users, a small disk or a disk that stands still needs root, and
// is skipped otherwise. go test -short makes fewer rounds of the test that kills
// the daemon. With E2E_LOG set the daemons' logs are shown of tests that pass, too;
// E2E_SEED repeats the random moments of a run that failed.
package e2e
