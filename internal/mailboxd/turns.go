package mailboxd

import (
	"time"

	"postrider/delivery/local"
)

const (
	// turnTime bounds the wait for other deliveries to the same user.
	turnTime = 30 * time.Second
	// maxCommands of one user run at once.
	maxCommands = 8
)

// place is where deliveries follow each other: those to one user's mailbox, which
// would wait for each other's locks, and apart from them the user's commands.
type place struct {
	uid     int
	command bool
}

// turnOf says how a job waits for those before it. Commands may well take long.
func turnOf(j local.Job) local.Turn {
	if j.Command {
		return local.Turn{Room: maxCommands, Wait: turnTime, Stuck: turnTime}
	}
	return local.Turn{Room: 1, Wait: turnTime, Stuck: local.StuckAfter}
}
