// Package smtptest runs SMTP servers within a process, for tests and
// demonstrations of what sends mail:
//
//   - [Sink] is a whole server on go-smtp that keeps what it gets, with hooks for
//     its replies, TLS, and login;
//   - [Script] answers single commands with single lines, and fails where it is
//     told to;
//   - [CA] issues the certificates for both.
//
// None of them needs a test to run; those whose name begins with New end with one.
package smtptest

// TB is the part of testing.TB that is used here, so that programs can have a Sink
// without package testing.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}
