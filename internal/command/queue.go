package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/maildrop"
	"postrider/internal/sysexits"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// withQueue calls fn with the daemon's queue or, if no daemon runs, with the spool
// itself where the caller may read it.
func (a *app) withQueue(ctx context.Context, fn func(control.Queue) error) error {
	c, err := a.load()
	if err != nil {
		return err
	}
	client, err := control.Dial(ctx, c.ControlSocket())
	if err == nil {
		defer client.Close()
		return fn(client)
	}
	store, openErr := openSpool(c)
	if openErr != nil {
		return fmt.Errorf("%w; %w", err, openErr)
	}
	defer store.Close()
	return fn(&control.Local{Store: store})
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
	group.AddCommand(a.listCommand(), a.showCommand(), a.catCommand(), a.flushCommand(), a.deleteCommand())
	return group
}

// filterFlags are the same for every verb.
type filterFlags struct {
	filter       queue.Filter
	state        string
	older, newer config.Duration
}

func (f *filterFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Sender, "sender", "", "reverse-path `address`, @domain, or <> for bounces")
	flags.StringVar(&f.filter.Recipient, "recipient", "", "recipient `address`")
	flags.StringVar(&f.filter.Domain, "domain", "", "recipient `domain`")
	flags.StringVar(&f.state, "state", "", "queued, active, deferred or held")
	flags.TextVar(&f.older, "older", config.Duration(0), "arrived longer ago than `time`, such as 2h or 3d")
	flags.TextVar(&f.newer, "newer", config.Duration(0), "arrived within the last `time`")
	flags.StringVar(&f.filter.IDContains, "id-contains", "", "part of a queue id")
	flags.StringVar(&f.filter.RecipientContains, "recipient-contains", "", "part of a recipient address")
	flags.StringVar(&f.filter.SenderContains, "sender-contains", "", "part of the sender address")
	flags.BoolVar(&f.filter.Not, "not", false, "messages that the -contains options do not match")
}

// get makes the filter from flags and IDs; "-" reads IDs from standard input.
func (f *filterFlags) get(a *app, args []string) (queue.Filter, error) {
	filter := f.filter
	if f.state != "" {
		state, ok := queue.ParseState(f.state)
		if !ok {
			return filter, exit(sysexits.Usage, "%q is no state: use queued, active, deferred or held", f.state)
		}
		filter.State = state
	}
	now := time.Now()
	if f.older > 0 {
		filter.Before = now.Add(-f.older.D())
	}
	if f.newer > 0 {
		filter.After = now.Add(-f.newer.D())
	}
	ids, err := a.ids(args)
	filter.IDs = ids
	return filter, err
}

func (a *app) ids(args []string) ([]queue.ID, error) {
	var words []string
	for _, arg := range args {
		if arg != "-" {
			words = append(words, arg)
			continue
		}
		lines := bufio.NewScanner(a.stdin)
		for lines.Scan() {
			words = append(words, strings.Fields(lines.Text())...)
		}
		if err := lines.Err(); err != nil {
			return nil, exit(sysexits.IOErr, "read queue ids from standard input: %w", err)
		}
		if len(words) == 0 {
			return nil, exit(sysexits.Usage, "no queue ids on standard input")
		}
	}
	var ids []queue.ID
	for _, w := range words {
		id, err := queue.ParseID(strings.TrimRight(w, "*!"))
		if err != nil {
			return nil, exit(sysexits.Usage, "%w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

func (a *app) listCommand() *cobra.Command {
	var f filterFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list [ID…|-]", Short: "List messages in the queue",
		Example: "  postrider queue list --domain example.com --state deferred",
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.get(a, args)
			if err != nil {
				return err
			}
			format := control.FormatTable
			if asJSON {
				format = control.FormatJSON
			}
			return a.list(cmd.Context(), filter, format)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// list prints the queue and, to who may see it and apart from what programs parse,
// what was left in the maildrop and could not be taken over.
func (a *app) list(ctx context.Context, filter queue.Filter, format control.Format) error {
	err := a.withQueue(ctx, func(q control.Queue) error { return q.List(ctx, filter, format, a.stdout) })
	if err != nil {
		return err
	}
	c, err := a.load()
	if err != nil {
		return err
	}
	damaged, err := maildrop.Quarantined(c.Quarantine())
	if err != nil {
		return nil // not for this user's eyes
	}
	for _, d := range damaged {
		fmt.Fprintf(a.stderr, "quarantined: %s, %d bytes from uid %d: %s\n", filepath.Join(c.Quarantine(), d.Name), d.Size, d.UID, d.Reason)
	}
	return nil
}

// mailqCommand is what the mailq and sendmail -bp of the other program run.
func (a *app) mailqCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "mailq", Short: "List the queue as Postfix's mailq does", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format := control.FormatMailq
			if asJSON {
				format = control.FormatJSON
			}
			return a.list(cmd.Context(), queue.Filter{}, format)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func (a *app) showCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show ID…", Short: "Show messages with their recipients and attempts", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachID(cmd.Context(), args, func(q control.Queue, id queue.ID) error {
				return a.showOne(cmd.Context(), q, id, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

// eachID calls fn for each message named. It ends at the first error.
func (a *app) eachID(ctx context.Context, args []string, fn func(control.Queue, queue.ID) error) error {
	ids, err := a.ids(args)
	if err != nil {
		return err
	}
	return a.withQueue(ctx, func(q control.Queue) error {
		for _, id := range ids {
			if err := fn(q, id); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
		}
		return nil
	})
}

func (a *app) showOne(ctx context.Context, q control.Queue, id queue.ID, asJSON bool) error {
	d, err := q.Show(ctx, id)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(a.stdout).Encode(d)
	}
	return control.WriteDetails(a.stdout, d)
}

func (a *app) catCommand() *cobra.Command {
	return &cobra.Command{
		Use: "cat ID…", Short: "Print messages as they are stored", Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.eachID(cmd.Context(), args, func(q control.Queue, id queue.ID) error {
				return q.Cat(cmd.Context(), id, a.stdout)
			})
		},
	}
}

func (a *app) flushCommand() *cobra.Command {
	var f filterFlags
	var quiet bool
	cmd := &cobra.Command{
		Use: "flush [ID…|-]", Short: "Have messages tried again now",
		Example: "  postrider queue flush --domain example.com",
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.get(a, args)
			if err != nil {
				return err
			}
			c, err := a.load()
			if err != nil {
				return err
			}
			n, err := a.flush(cmd.Context(), c, filter)
			if err == nil && !quiet {
				fmt.Fprintf(a.stderr, "due now: %s\n", control.Plural(n.Messages, "message"))
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVarP(&quiet, "quiet", "q", false, "say nothing on success")
	return cmd
}

// flush asks the daemon. Where mail is delivered without one, it makes a delivery
// run of its own.
func (a *app) flush(ctx context.Context, c *config.Config, filter queue.Filter) (control.Count, error) {
	client, err := control.Dial(ctx, c.ControlSocket())
	if err == nil {
		defer client.Close()
		return client.Flush(ctx, filter)
	}
	if !c.OnDemand {
		return control.Count{}, fmt.Errorf("%w: nobody would deliver; start it with \"postrider daemon\"", err)
	}
	store, err := openSpool(c)
	if err != nil {
		return control.Count{}, err
	}
	n, err := (&control.Local{Store: store}).Flush(ctx, filter)
	if closeErr := store.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return n, err
	}
	return n, a.runDaemon(ctx, true)
}

func (a *app) deleteCommand() *cobra.Command {
	var f filterFlags
	var all bool
	cmd := &cobra.Command{
		Use: "delete ID…|-|filters", Short: "Delete messages; nobody is told",
		Example: "  postrider queue delete 0123456789AB",
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.get(a, args)
			if err != nil {
				return err
			}
			if reflect.ValueOf(filter).IsZero() && !all {
				return exit(sysexits.Usage, "say which messages: queue ids, filters, or --all")
			}
			return a.withQueue(cmd.Context(), func(q control.Queue) error {
				n, err := q.Delete(cmd.Context(), filter)
				if err == nil {
					fmt.Fprintf(a.stderr, "deleted: %s\n", control.Plural(n.Messages, "message"))
				}
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "every message that the filters leave")
	return cmd
}
