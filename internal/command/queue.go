package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/sysexits"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// withQueue calls fn with the daemon's queue or, if no daemon runs, with the spool
// itself where the caller may read it.
func (a *app) withQueue(ctx context.Context, fn func(control.Queue) error) error {
	return a.steer(ctx, func(q control.Queue, _ string) error { return fn(q) })
}

// inSpool says that something was done without a daemon.
const inSpool = " (in the spool itself: no daemon is running)"

// steer is withQueue for what changes something, and is to say where: note is
// inSpool, or empty.
func (a *app) steer(ctx context.Context, fn func(q control.Queue, note string) error) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, c.ControlSocket())
	if err == nil {
		defer client.Close()
		return fn(client, "")
	}
	store, openErr := openSpool(c)
	if openErr != nil {
		return fmt.Errorf("%w; %w", err, openErr)
	}
	err = fn(&control.Local{Store: store}, inSpool)
	if closeErr := store.Close(); err == nil {
		err = closeErr
	}
	return err
}

// openSpool opens an existing spool. It never makes one: who asks about a queue
// does not want to own it.
func openSpool(c *config.Config) (queue.Store, error) {
	path := c.QueueDB()
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, exit(sysexits.Unavailable, "there is no spool at %s: start the daemon once, or name the right configuration with -C", path)
	case err != nil:
		return nil, exit(sysexits.Unavailable, "%w", err)
	}
	store, err := boltstore.Open(path, boltstore.Options{Ballast: -1})
	if errors.Is(err, fs.ErrPermission) {
		return nil, exit(sysexits.Unavailable, "reading the spool %s is for root: start the daemon, or try again as root", path)
	}
	return store, err
}

func (a *app) queueCommand() *cobra.Command {
	group := newGroup("queue", "See and steer the queue")
	group.AddCommand(a.listCommand(), a.showCommand(), a.catCommand(), a.flushCommand(),
		a.holdCommand(), a.releaseCommand(), a.bounceCommand(), a.deleteCommand(),
		a.statsCommand(), a.suspendCommand(), a.resumeCommand())
	return group
}
