package command

import (
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"postrider/internal/daemon"
	"postrider/internal/mailboxd"
	"postrider/internal/sysexits"
)

// helperIdle is how long the helper of a service manager waits for more to do.
const helperIdle = time.Minute

func (a *app) helperCommand() *cobra.Command {
	var deliver bool
	cmd := &cobra.Command{
		Use: "local-helper", Short: "Deliver into users' mailboxes for the daemon", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			logger := slog.New(slog.NewTextHandler(a.stderr, nil)).With("part", "local-helper")
			if deliver {
				return helperStatus(mailboxd.Deliver(cmd.Context(), a.stdin, logger))
			}
			listener, own, err := mailboxd.Inherited(os.Stdin)
			if err != nil {
				return err
			}
			server := &mailboxd.Server{Load: a.helperSettings, Stderr: a.stderr, Logger: logger}
			if own {
				server.Idle = helperIdle
			}
			return helperStatus(server.Serve(cmd.Context(), listener))
		},
	}
	cmd.Flags().BoolVar(&deliver, "deliver", false, "deliver one message as the user that runs this")
	return cmd
}

func helperStatus(err error) error {
	if err == nil {
		return nil
	}
	return exit(sysexits.OSErr, "local-helper: %w", err)
}

func (a *app) helperSettings() (mailboxd.Settings, error) {
	c, err := a.load()
	if err != nil {
		return mailboxd.Settings{}, err
	}
	return daemon.HelperSettings(c), nil
}

// helperArguments start the helper with the configuration that we use.
func (a *app) helperArguments() []string {
	args := []string{"local-helper"}
	if a.configPath != "" {
		args = append(args, "--config", a.configPath)
	}
	return args
}
