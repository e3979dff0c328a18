package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"postrider/internal/control"
	"postrider/internal/maildrop"
	"postrider/queue"
)

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
	var unknown []queue.ID
	err := a.withQueue(ctx, func(q control.Queue) (err error) {
		if _, unknown, err = known(ctx, q, filter.IDs); err != nil {
			return err
		}
		return q.List(ctx, filter, format, a.stdout)
	})
	if err != nil {
		return err
	}
	if err := noSuch(unknown); err != nil {
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
		Example: "  postrider queue show 0123456789AB",
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
		Long:    "Print messages as they are stored. On a terminal, control characters are shown as question marks.",
		Example: "  postrider queue cat 0123456789AB | less",
		RunE: func(cmd *cobra.Command, args []string) error {
			safe := a.stdout
			if _, ok := terminalOf(a.stdout); ok {
				safe = &plainWriter{w: a.stdout}
			}
			return a.eachID(cmd.Context(), args, func(q control.Queue, id queue.ID) error {
				return q.Cat(cmd.Context(), id, safe)
			})
		},
	}
}

// plainWriter keeps control characters from a terminal, but for those that end and
// indent lines.
type plainWriter struct {
	w    io.Writer
	lead bool // the byte that begins the C1 control characters in UTF-8 came last
}

func (p *plainWriter) Write(b []byte) (int, error) {
	out := make([]byte, 0, len(b)+1)
	for _, c := range b {
		if p.lead {
			p.lead = false
			if c >= 0x80 && c < 0xa0 {
				out = append(out, '?')
				continue
			}
			out = append(out, 0xc2)
		}
		switch {
		case c == 0xc2:
			p.lead = true
		case c < ' ' && c != '\n' && c != '\t' && c != '\r', c == 0x7f:
			out = append(out, '?')
		default:
			out = append(out, c)
		}
	}
	if _, err := p.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
