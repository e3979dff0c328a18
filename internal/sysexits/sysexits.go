// Package sysexits names the exit statuses that callers of a mail program know,
// from the sysexits.h of 4.0BSD.
package sysexits

// The exit statuses.
const (
	OK          = 0
	Usage       = 64 // the command was used wrongly
	DataErr     = 65 // the input was wrong
	NoUser      = 67 // addressee unknown
	Unavailable = 69 // a service is not available
	Software    = 70 // our own fault
	OSErr       = 71 // the system did not do its part
	CantCreate  = 73 // a file could not be created
	IOErr       = 74 // input or output failed
	TempFail    = 75 // try again later
	NoPerm      = 77 // not allowed
	Config      = 78 // the configuration is wrong
)
