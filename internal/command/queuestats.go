package command

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/sysexits"
)

func (a *app) statsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "stats", Short: "Count what waits by destination and age, with the top senders and reasons", Args: cobra.NoArgs,
		Long: `Count what waits: deliveries by destination and age in minutes, as qshape does, each column up to the time it names; messages by sender; and deferred deliveries by the last reply.

A delivery is those recipients of a message that go to one destination. Held deliveries are counted apart. Where more than 5000 deliveries are deferred, replies are counted of an even sample.`,
		Example: "  postrider queue stats\n  postrider queue stats --json | jq '.destinations[] | select(.suspended)'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withQueue(cmd.Context(), func(q control.Queue) error {
				s, err := q.Stats(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					return json.NewEncoder(a.stdout).Encode(s)
				}
				return control.WriteStats(a.stdout, s)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object")
	return cmd
}

func (a *app) suspendCommand() *cobra.Command {
	var span config.Duration
	var ask control.Suspension
	cmd := &cobra.Command{
		Use: "suspend DESTINATION…", Short: "Have mail for destinations wait", Args: cobra.MinimumNArgs(1),
		Long: `Have mail for destinations wait, named as "postrider queue stats" prints them: a domain, relay and smarthost, or local.

What is being delivered at the moment is not interrupted. A suspension outlasts a restart, but ends when no mail for the destination is left in the queue. Mail that waits expires as other mail does.`,
		Example: "  postrider queue suspend example.com --for 2h --reason \"their migration\"",
		RunE: func(cmd *cobra.Command, args []string) error {
			if span < 0 {
				return exit(sysexits.Usage, "--for must be a time to come")
			}
			ask.Until = control.Forever()
			if span > 0 {
				ask.Until = time.Now().Add(span.D())
			}
			return a.suspend(cmd, args, ask, "suspended")
		},
	}
	cmd.Flags().TextVar(&span, "for", config.Duration(0), "end by itself after `time`, such as 2h (default until resumed)")
	cmd.Flags().StringVar(&ask.Reason, "reason", "", "`text` that queue stats shows")
	return cmd
}

func (a *app) resumeCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "resume DESTINATION…|--all", Short: "Have mail for suspended destinations tried again",
		Long:    "Have mail for suspended destinations tried again, whether an administrator suspended them or the daemon, because no host answered.",
		Example: "  postrider queue resume example.com\n  postrider queue resume --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if (len(args) == 0) != all {
				return exit(sysexits.Usage, "say which destinations to resume, or --all")
			}
			return a.suspend(cmd, args, control.Suspension{All: all}, "resumed")
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every destination that is suspended")
	return cmd
}

func (a *app) suspend(cmd *cobra.Command, names []string, ask control.Suspension, done string) error {
	ask.Destinations = names
	if err := control.CheckText(ask.Reason); err != nil {
		return exit(sysexits.Usage, "%w", err)
	}
	return a.steer(cmd.Context(), func(q control.Queue, note string) error {
		out, err := q.Suspend(cmd.Context(), ask)
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stderr, "%s: %s%s\n", done, control.Plural(len(out.Done), "destination"), note)
		if len(out.Unknown) > 0 {
			return exit(sysexits.DataErr, "no mail waits for %s; \"postrider queue stats\" names the destinations", strings.Join(out.Unknown, ", "))
		}
		return nil
	})
}
