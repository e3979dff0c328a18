// Package arch keeps the architecture true: its tests fail on an import that goes
// against the direction in which a message travels.
package arch
