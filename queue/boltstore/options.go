package boltstore

import (
	"log/slog"
	"time"
)

// Options are the settings of a store. The zero value is fit for use.
type Options struct {
	// Logger is told of what an administrator should know; nil for none.
	Logger *slog.Logger
	// Now is the clock that identifiers are made from; nil for time.Now.
	Now func() time.Time
	// Node is put into the topmost four bits of identifiers: 0 to 15.
	Node uint8
	// MaxMessage is the greatest message to be expected, in bytes.
	MaxMessage int64
	// FreeFloor is how many bytes must be free on the file system for anything to
	// be accepted; zero for 64 MiB or twice MaxMessage, whichever is more.
	FreeFloor int64
	// Ballast is the size in bytes of a file kept beside the database, to be given
	// up when the disk is full; zero for 8 MiB, negative for none.
	Ballast int64
	// StatFS tells how many bytes are free where the path is; nil asks the system.
	StatFS func(path string) (free int64, err error)
	// ReportWait is how long reports that are owed wait for other recipients of
	// the message that are still untried; zero for a minute.
	ReportWait time.Duration
	// LockTimeout is how long Open waits for another process to close the file;
	// zero for a second.
	LockTimeout time.Duration

	// commitFault, if set, is asked before each commit and fails it; for tests.
	commitFault func() error
}

const maxNode = 15

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FreeFloor == 0 {
		o.FreeFloor = max(64<<20, 2*o.MaxMessage)
	}
	if o.Ballast == 0 {
		o.Ballast = 8 << 20
	}
	if o.StatFS == nil {
		o.StatFS = diskFree
	}
	if o.ReportWait == 0 {
		o.ReportWait = time.Minute
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	return o
}
