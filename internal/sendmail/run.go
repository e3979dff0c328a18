package sendmail

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"

	"postrider/internal/config"
	"postrider/internal/sysexits"
)

// Ends of a run that print to standard output.
var (
	errHelp    = errors.New("help asked for")
	errVersion = errors.New("version asked for")
)

// run is one run of the command.
type run struct {
	env  *Env
	opts *options
	cfg  *config.Config
	in   input
	// accepted says what became of the last message, in a few words.
	accepted string
	// interrupts is the watch for signals, while there is one.
	interrupts *Interrupts
}

// Run does what the command line asks for and returns the exit status. What went
// wrong is one line on standard error.
func Run(env Env) int {
	r := run{env: &env, in: input{r: env.Stdin}}
	err := r.run(context.Background())
	var f *failure
	switch {
	case err == nil:
		return sysexits.OK
	case errors.Is(err, errHelp):
		fmt.Fprint(env.Stdout, help())
		return sysexits.OK
	case errors.Is(err, errVersion):
		fmt.Fprintln(env.Stdout, "sendmail (postrider)", version())
		return sysexits.OK
	case !errors.As(err, &f):
		f = failf(sysexits.TempFail, "%v", err)
	}
	if f.text != "" {
		r.complain(f.text)
	}
	return f.status
}

// complain prints one line.
func (r *run) complain(text string) {
	name := "sendmail"
	if r.opts != nil && r.opts.mode == modeAliases {
		name = "newaliases"
	}
	fmt.Fprintf(r.env.Stderr, "%s: %s\n", name, oneLine(text))
}

func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(unknown version)"
	}
	return info.Main.Version
}

func (r *run) run(ctx context.Context) (err error) {
	if r.opts, err = parseArgs(r.env.Args); err != nil {
		return err
	}
	if r.opts.config != nil && r.env.UID != 0 {
		return failf(sysexits.NoPerm, "only root may choose the configuration with -C; set POSTRIDER_CONFIG instead")
	}
	if r.opts.tag != "" && r.env.SetName != nil {
		r.env.SetName(r.opts.tag)
	}
	for _, w := range r.opts.warnings {
		r.complain("warning: " + w)
	}
	if err := r.forRoot(); err != nil {
		return err
	}
	if err := r.opts.checkMode(); err != nil {
		return err
	}
	switch r.opts.mode {
	case modeList:
		return r.list()
	case modeQueueRun:
		return r.flush()
	case modeForeground:
		return r.become("daemon")
	case modeHostStatus, modePurge, modeInterval:
		return nil
	}
	return r.runConfigured(ctx)
}

// runConfigured does what needs the configuration.
func (r *run) runConfigured(ctx context.Context) (err error) {
	if r.opts.mode == modeDeliver && !r.opts.fromHeader && len(r.opts.operands) == 0 {
		return failf(sysexits.Usage, "Recipient addresses must be specified on the command line or via the -t option")
	}
	source := config.Source{Environ: r.env.Environ}
	if r.opts.config != nil {
		source.Path = *r.opts.config
	}
	r.cfg, err = config.Load(source)
	if err != nil {
		return failf(sysexits.Config, "%v", err)
	}
	switch r.opts.mode {
	case modeSMTP:
		return r.smtp(ctx)
	case modeVerify:
		return r.verify(ctx)
	case modeAliases:
		return r.newaliases()
	case modeDaemon:
		return r.background()
	default:
		return r.deliver(ctx)
	}
}
