// Package logins keeps the names and password hashes with which clients log in to
// the submission service.
//
// They are in a file of lines that a person can read and copy, one a login:
//
//	name:SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey
//
// The part after the name is the form PostgreSQL and RFC 5803 §3 write. From it a
// password that was sent (PLAIN, LOGIN) can be checked as well as the proof of
// SCRAM-SHA-256 (RFC 7677), and it gives away neither. Blank lines and lines that
// begin with # are comments; they stay where they are when the file is rewritten.
//
// Passwords are prepared as RFC 5802 wants (SASLprep, RFC 4013). Names are printable
// ASCII, of which preparation would change nothing.
package logins
