package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/sysexits"
	"postrider/queue"
)

// app is what the commands share.
type app struct {
	version        string
	configPath     string
	stdin          io.Reader
	stdout, stderr io.Writer
}

// status is an error with the exit status it asks for.
type status struct {
	code int
	err  error
}

func (s *status) Error() string { return s.err.Error() }
func (s *status) Unwrap() error { return s.err }

func exit(code int, format string, args ...any) error {
	return &status{code, fmt.Errorf(format, args...)}
}

// Run executes one command line and gives the exit status.
func Run(version string, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	a := &app{version: version, stdin: stdin, stdout: stdout, stderr: stderr}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return sysexits.OK
	}
	fmt.Fprintf(stderr, "postrider: %s\n", strings.ReplaceAll(err.Error(), "\n", " "))
	return exitCode(err)
}

func exitCode(err error) int {
	var s *status
	switch {
	case errors.As(err, &s):
		return s.code
	case errors.Is(err, queue.ErrLocked), errors.Is(err, queue.ErrNoSpace), errors.Is(err, queue.ErrFailed):
		return sysexits.TempFail
	case errors.Is(err, queue.ErrForeign), errors.Is(err, queue.ErrNewerSchema):
		return sysexits.Config
	case errors.Is(err, queue.ErrNotFound):
		return sysexits.DataErr
	case errors.Is(err, control.ErrNoDaemon):
		return sysexits.Unavailable
	case errors.Is(err, os.ErrPermission):
		return sysexits.NoPerm
	}
	return sysexits.Usage
}

func (a *app) root() *cobra.Command {
	root := newGroup("postrider", "Deliver mail that programs on this host hand to sendmail")
	root.SilenceUsage, root.SilenceErrors = true, true
	root.PersistentFlags().StringVarP(&a.configPath, "config", "C", "", "configuration `file` (default "+config.DefaultPath+")")
	root.AddCommand(a.daemonCommand(), a.queueCommand(), a.mailqCommand(), a.configCommand(), a.versionCommand(), a.helperCommand(), a.routeCommand())
	root.AddCommand(a.userCommand())
	return root
}

// newGroup makes a command that only has others below it; a word it does not know
// is an error, not a call for help.
func newGroup(name, short string) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
}

func (a *app) load() (*config.Config, error) {
	c, err := config.Load(config.Source{Path: a.configPath, Environ: os.Environ()})
	if err != nil {
		return nil, &status{sysexits.Config, err}
	}
	return c, nil
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.stdout, "postrider", a.version)
			return err
		},
	}
}

func (a *app) configCommand() *cobra.Command {
	group := newGroup("config", "Show or check the configuration")
	group.AddCommand(&cobra.Command{
		Use: "show", Short: "Print the effective configuration and where each value came from", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.load()
			if err != nil {
				return err
			}
			for _, k := range c.Keys() {
				if _, err := fmt.Fprintf(a.stdout, "%-48s # %s\n", k.Name+" = "+k.Value(), c.Source(k.Name)); err != nil {
					return err
				}
			}
			return nil
		},
	}, &cobra.Command{
		Use: "check", Short: "Say nothing if the configuration is right, else what is wrong", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.load()
			return err
		},
	})
	return group
}
