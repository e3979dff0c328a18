package command

import (
	"bufio"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/sysexits"
	"postrider/queue"
)

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
