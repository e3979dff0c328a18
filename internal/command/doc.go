// Package command is the command line of postrider: what it takes, what it calls
// and how it says that something went wrong.
//
// Every error is one line on standard error, "postrider: " and what happened with
// the remedy, and a status of sysexits.h.
package command
