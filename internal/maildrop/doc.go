// Package maildrop passes messages from any user's process to the daemon through
// a directory, for the time when no daemon answers.
//
// The directory belongs to the daemon's user and group and has mode 3733: anyone
// may create a file in it, nobody but its owner may list it, the sticky bit keeps
// users off each other's files, and the setgid bit gives the files to the
// daemon's group.
//
//  1. [Write] puts envelope and body into a file with a temporary name, with
//     their lengths and a checksum, and syncs it.
//  2. It renames the file to its final name and syncs the file system: a directory
//     one may not read cannot be opened to be synced.
//  3. [Reader.Scan] opens each finished file without following links, takes the
//     user and the time from the kernel, and hands it over while it verifies it.
//  4. Once the message is in the queue the file is removed. If the daemon dies in
//     between, the submission id keeps the second reading from making a copy.
//  5. A file that is damaged, or is no plain file, goes to the quarantine
//     directory with a line that says why; [Quarantined] lists them.
//
// The package does not decide what is acceptable mail.
package maildrop
