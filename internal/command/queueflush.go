package command

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/queue"
)

// flushing is what a flush is asked for.
type flushing struct {
	filter             queue.Filter
	force, wait, quiet bool
	waiter             waiter
}

func (a *app) flushCommand() *cobra.Command {
	var f filterFlags
	var v flushing
	cmd := &cobra.Command{
		Use: "flush [ID…|-]", Short: "Have messages tried again now",
		Long: `Have messages tried again now: all, or those that the queue ids and filters name. Messages on hold stay there.

Destinations that the daemon suspended because no host answered are tried; those that an administrator suspended are not, unless --force ends that.

With --wait, each outcome is printed as it comes. The exit status is 69 if a recipient failed, 75 if one was deferred again. An interrupt ends the waiting, not the deliveries.`,
		Example: "  postrider queue flush --domain example.com --wait",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if v.filter, err = f.get(a, args); err != nil {
				return err
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			return a.flush(cmd.Context(), c, &v)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&v.quiet, "quiet", "q", false, "say nothing on success")
	cmd.Flags().BoolVar(&v.force, "force", false, "end suspensions by administrators too")
	cmd.Flags().BoolVar(&v.wait, "wait", false, "print each outcome, until all that was flushed has been tried")
	return cmd
}

// flush asks the daemon. Where mail is delivered without one, it makes a delivery
// run of its own.
func (a *app) flush(ctx context.Context, c *config.Config, v *flushing) error {
	client, err := control.Dial(ctx, c.ControlSocket())
	if err == nil {
		defer client.Close()
		unknown, err := a.flushNow(ctx, client, v)
		if err == nil && v.wait {
			err = v.waiter.wait(ctx, client)
		}
		if err == nil {
			err = noSuch(unknown)
		}
		return err
	}
	if !c.OnDemand {
		return fmt.Errorf("%w: nobody would deliver; start it with \"postrider daemon\"", err)
	}
	var unknown []queue.ID
	if err := a.withSpool(c, func(q control.Queue) (err error) {
		unknown, err = a.flushNow(ctx, q, v)
		return err
	}); err != nil {
		return err
	}
	if err := a.runDaemon(ctx, true); err != nil {
		return err
	}
	if v.wait {
		err := a.withSpool(c, func(q control.Queue) error {
			if _, err := v.waiter.look(ctx, q); err != nil {
				return err
			}
			return v.waiter.verdict()
		})
		if err != nil {
			return err
		}
	}
	return noSuch(unknown)
}

// withSpool calls fn with the spool itself.
func (a *app) withSpool(c *config.Config, fn func(control.Queue) error) error {
	store, err := openSpool(c)
	if err != nil {
		return err
	}
	err = fn(&control.Local{Store: store})
	if closeErr := store.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (a *app) flushNow(ctx context.Context, q control.Queue, v *flushing) (unknown []queue.ID, err error) {
	if _, unknown, err = known(ctx, q, v.filter.IDs); err != nil {
		return nil, err
	}
	if v.wait {
		v.waiter.out = a.stdout
		if err := v.waiter.begin(ctx, q, v.filter); err != nil {
			return nil, err
		}
	}
	n, err := q.Flush(ctx, v.filter, v.force)
	if err != nil {
		return nil, err
	}
	v.waiter.suspended = n.Suspended
	if len(n.Suspended) > 0 && !v.quiet {
		fmt.Fprintf(a.stderr, "suspended, and not tried: %s; --force ends that\n", strings.Join(n.Suspended, ", "))
	}
	switch {
	case v.quiet:
	case n.Matched == 0 && len(unknown) == 0 && !reflect.ValueOf(v.filter).IsZero():
		fmt.Fprintln(a.stderr, "no message matches")
	default:
		fmt.Fprintf(a.stderr, "due now: %s\n", control.Plural(n.Messages, "message"))
	}
	return unknown, nil
}
