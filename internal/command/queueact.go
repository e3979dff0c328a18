package command

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"postrider/internal/control"
	"postrider/internal/sysexits"
	"postrider/queue"
)

const (
	// batch is how many messages are dealt with in one step that is not interrupted.
	batch = 500
	// unasked is how many messages a verb may concern without a question.
	unasked = 20
)

// verb is a command that does something to messages.
type verb struct {
	order control.Order
	done  string // what has been done
	yes   bool
	all   bool
	f     filterFlags
}

const verbUse = " ID…|-|filters"

// verbCommand makes the command of a verb. Its filters hold together.
func (a *app) verbCommand(v *verb, cmd *cobra.Command) *cobra.Command {
	name := string(v.order.Verb)
	cmd.Use = name + verbUse
	cmd.Long = cmd.Short + `.

Messages are named by queue ids, in the arguments or, with "-", on standard input; filters narrow that down, or name messages themselves. ` +
		`More than 20 messages need a "y" on the terminal, or --yes. It can be interrupted: what was done stays done. ` +
		`Exit status 65 if an id is not in the queue; the others are dealt with.` + cmd.Long
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		filter, err := v.f.get(a, args)
		if err != nil {
			return err
		}
		if reflect.ValueOf(filter).IsZero() && !v.all {
			return exit(sysexits.Usage, "say which messages: queue ids, filters, or --all")
		}
		if err := control.CheckText(v.order.Text); err != nil {
			return exit(sysexits.Usage, "%w", err)
		}
		return a.steer(cmd.Context(), func(q control.Queue, note string) error {
			return a.act(cmd.Context(), q, v, filter, note)
		})
	}
	v.f.add(cmd)
	cmd.Flags().BoolVar(&v.all, "all", false, "every message that the filters leave")
	cmd.Flags().BoolVarP(&v.yes, "yes", "y", false, "do not ask, however many messages it is")
	return cmd
}

func (a *app) holdCommand() *cobra.Command {
	v := &verb{order: control.Order{Verb: control.Hold}, done: "held"}
	cmd := a.verbCommand(v, &cobra.Command{
		Short:   "Keep messages from being delivered until they are released",
		Example: "  postrider queue hold --sender @example.com --reason \"looks like spam\"",
	})
	cmd.Flags().StringVar(&v.order.Text, "reason", "", "`text` that listings show")
	return cmd
}

func (a *app) releaseCommand() *cobra.Command {
	v := &verb{order: control.Order{Verb: control.Release}, done: "released"}
	return a.verbCommand(v, &cobra.Command{
		Short:   "Have messages delivered that are on hold",
		Example: "  postrider queue release --all --newer 2h --yes",
	})
}

func (a *app) bounceCommand() *cobra.Command {
	v := &verb{order: control.Order{Verb: control.Bounce}, done: "returned to sender"}
	cmd := a.verbCommand(v, &cobra.Command{
		Short: "Return messages to their senders now",
		Long:  "\n\nSenders get the report that they asked for, as for any other failure. Recipients that a message is being delivered to at the moment are left as they are.",
		Example: "  postrider queue list --json --domain example.com | jq -r .id |\n" +
			"    postrider queue bounce - --yes --text \"the address is no longer in use\"",
	})
	cmd.Flags().StringVar(&v.order.Text, "text", "", "`text` that the sender is told (default \""+control.BounceText+"\")")
	return cmd
}

func (a *app) deleteCommand() *cobra.Command {
	v := &verb{order: control.Order{Verb: control.Delete}, done: "deleted"}
	return a.verbCommand(v, &cobra.Command{
		Short:   "Delete messages; nobody is told",
		Example: "  postrider queue delete 0123456789AB",
	})
}

func (a *app) act(ctx context.Context, q control.Queue, v *verb, filter queue.Filter, note string) error {
	// Without IDs this does nothing, but it fails for who may not do it.
	if _, err := q.Act(ctx, v.order); err != nil {
		return err
	}
	ids, unknown, err := selected(ctx, q, filter)
	if err != nil {
		return err
	}
	if err := a.confirm(ctx, v, len(ids)); err != nil {
		return err
	}
	n, err := a.actInBatches(ctx, q, v, filter, ids)
	switch {
	case len(ids) > 0:
		left := ""
		if n.Busy > 0 {
			left = fmt.Sprintf("; %d being delivered just now, left as they are", n.Busy)
		}
		fmt.Fprintf(a.stderr, "%s: %s%s%s\n", v.done, control.Plural(n.Messages, "message"), left, note)
	case len(unknown) == 0:
		fmt.Fprintln(a.stderr, "no message matches")
	}
	if err != nil {
		return err
	}
	return noSuch(unknown)
}

func (a *app) actInBatches(ctx context.Context, q control.Queue, v *verb, filter queue.Filter, ids []queue.ID) (total control.Count, err error) {
	o := v.order
	o.Filter = filter
	o.Filter.IDs = nil
	for part := range slices.Chunk(ids, batch) {
		if ctx.Err() != nil {
			return total, exit(sysexits.TempFail, "interrupted: the other messages are as they were")
		}
		o.IDs = part
		n, err := q.Act(context.WithoutCancel(ctx), o)
		total.Messages += n.Messages
		total.Busy += n.Busy
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// confirm asks before much is done.
func (a *app) confirm(ctx context.Context, v *verb, n int) error {
	if n <= unasked || v.yes {
		return nil
	}
	terminal, ok := terminalOf(a.stdin)
	if !ok {
		return exit(sysexits.Usage, "%s would concern %d messages; nothing was done: add --yes if that is meant", v.order.Verb, n)
	}
	fmt.Fprintf(a.stderr, "%s %d messages? [y/N] ", strings.ToUpper(string(v.order.Verb[:1]))+string(v.order.Verb[1:]), n)
	if err := waitReadable(ctx, int(terminal.Fd())); err != nil {
		return exit(sysexits.TempFail, "interrupted: nothing was done")
	}
	answer, err := readLine(terminal)
	if err != nil {
		return err
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return exit(sysexits.TempFail, "nothing was done")
	}
	return nil
}

// selected gives the messages that match, and IDs that are not in the queue.
func selected(ctx context.Context, q control.Queue, f queue.Filter) (ids, unknown []queue.ID, err error) {
	if len(f.IDs) == 0 {
		ids, err = listIDs(ctx, q, f)
		return ids, nil, err
	}
	there, unknown, err := known(ctx, q, f.IDs)
	if err != nil {
		return nil, nil, err
	}
	for part := range slices.Chunk(there, batch) {
		f.IDs = part
		matching, err := listIDs(ctx, q, f)
		if err != nil {
			return nil, nil, err
		}
		ids = append(ids, matching...)
	}
	return ids, unknown, nil
}

// known parts IDs into those in the queue and others.
func known(ctx context.Context, q control.Queue, ids []queue.ID) (there, unknown []queue.ID, err error) {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	for part := range slices.Chunk(ids, batch) {
		found, err := listIDs(ctx, q, queue.Filter{IDs: part})
		if err != nil {
			return nil, nil, err
		}
		there = append(there, found...)
		for _, id := range part {
			if _, ok := slices.BinarySearch(found, id); !ok {
				unknown = append(unknown, id)
			}
		}
	}
	return there, unknown, nil
}

func listIDs(ctx context.Context, q control.Queue, f queue.Filter) ([]queue.ID, error) {
	var b bytes.Buffer
	if err := q.List(ctx, f, control.FormatIDs, &b); err != nil {
		return nil, err
	}
	var ids []queue.ID
	for line := range strings.FieldsSeq(b.String()) {
		id, err := queue.ParseID(line)
		if err != nil {
			return nil, fmt.Errorf("the daemon's listing: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// noSuch names what is not in the queue.
func noSuch(unknown []queue.ID) error {
	const named = 10
	if len(unknown) == 0 {
		return nil
	}
	var names []string
	for _, id := range unknown[:min(len(unknown), named)] {
		names = append(names, id.String())
	}
	text := strings.Join(names, ", ")
	if more := len(unknown) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return exit(sysexits.DataErr, "%w: %s", queue.ErrNotFound, text)
}
