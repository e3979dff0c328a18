package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/daemon"
	"postrider/internal/sysexits"
	"postrider/queue"
)

func (a *app) daemonCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "daemon", Short: "Run the delivery daemon in the foreground", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runDaemon(cmd.Context(), once)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "deliver what is due, then exit")
	return cmd
}

func (a *app) runDaemon(ctx context.Context, once bool) error {
	err := daemon.Run(ctx, daemon.Options{
		Load: func() (*config.Config, error) { return a.load() }, Version: a.version, Stderr: a.stderr, Once: once,
		Helper: a.helperArguments(),
	})
	return daemonStatus(err, once)
}

// daemonStatus gives the error of a run that could not begin, or broke off, the
// right exit status.
func daemonStatus(err error, once bool) error {
	var s *status
	var wrong *daemon.ConfigError
	switch {
	case err == nil, once && errors.Is(err, queue.ErrLocked):
		return nil
	case errors.Is(err, queue.ErrFailed):
		return exit(sysexits.IOErr, "%w: the spool's disk did not take a write; check the disk, then start again: what was accepted is in the spool", err)
	case errors.As(err, &wrong):
		return exit(sysexits.Config, "%w", err)
	case errors.As(err, &s), errors.Is(err, queue.ErrLocked), errors.Is(err, queue.ErrForeign), errors.Is(err, queue.ErrNewerSchema):
		return err
	}
	return exit(sysexits.OSErr, "%w", fmt.Errorf("daemon: %w", err))
}
