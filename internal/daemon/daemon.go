package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sync/errgroup"

	"postrider/internal/address"
	"postrider/internal/bounce"
	"postrider/internal/config"
	"postrider/internal/control"
	"postrider/internal/logins"
	"postrider/internal/mailboxd"
	"postrider/internal/maildrop"
	"postrider/internal/smtpd"
	"postrider/internal/submission"
	"postrider/queue"
	"postrider/queue/schedule"
)

// Options are what Run needs besides the configuration.
type Options struct {
	// Load reads the configuration: at the start, and again on SIGHUP.
	Load    func() (*config.Config, error)
	Version string
	// Stderr gets the log. Lines below warnings may be kept back for a tenth of a
	// second while there are many.
	Stderr io.Writer
	// Once ends the run when nothing more is due, and opens no TCP listener: a
	// delivery run without a daemon.
	Once bool
	// Helper are the arguments with which this program is the helper for local
	// delivery, where it has to be started.
	Helper []string
	// Ready, if set, is called when mail is taken.
	Ready func()
}

// ConfigError says that the configuration, or a file that it names, has to be
// mended before the daemon can run.
type ConfigError struct{ Err error }

// Error implements error.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// drainTime bounds how long sessions past the final dot may take to finish.
const drainTime = 50 * time.Second

// Run runs the daemon until ctx ends, a SIGTERM or SIGINT comes, or the spool
// fails. It returns nil after an orderly stop.
func Run(ctx context.Context, o Options) (err error) {
	cfg, err := o.Load()
	if err != nil {
		return err
	}
	if o.Once {
		once := *cfg
		once.Submission.Listen = nil
		cfg = &once
	}
	tuneCollector()
	d := &daemon{options: o, config: cfg, level: new(slog.LevelVar)}
	out := newLogWriter(o.Stderr)
	defer out.Close() // when all have said their last word
	if d.logger, err = newLogger(out, o.Stderr, cfg, d.level); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	defer func() {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = nil // told to stop before it had begun
		}
	}()
	if d.doors, err = takeOver(); err != nil {
		return err
	}
	defer d.doors.close()
	defer d.closeHelper()
	if err := d.leaveRoot(ctx); err != nil {
		return err
	}
	if err := errors.Join(checkSecrets(cfg), checkKey(cfg)); err != nil {
		return &ConfigError{err}
	}
	if d.store, err = openSpool(ctx, cfg, d.logger); err != nil {
		return err
	}
	defer func() {
		if closeErr := d.store.Close(); err == nil && closeErr != nil {
			d.logger.Error("spool not closed cleanly", "error", closeErr)
		}
	}()
	return d.run(ctx)
}

// plentyOfMemory is more than the daemon needs unless many clients send large
// messages at once.
const plentyOfMemory = 192 << 20

// tuneCollector trades memory for time: what lives is a few megabytes whatever the
// queue, so that collecting at each doubling would be all too often. Where it is
// more, clients decide how much, and garbage is not to multiply it. GOGC and
// GOMEMLIMIT override.
func tuneCollector() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(plentyOfMemory)
	}
}

// daemon is one run.
type daemon struct {
	options   Options
	config    *config.Config
	level     *slog.LevelVar
	logger    *slog.Logger
	store     queue.Store
	doors     *listeners
	helper    *mailboxd.Helper // if we started one
	router    *router
	agent     *agent
	scheduler *schedule.Scheduler
	intake    *submission.Intake
	server    *smtpd.Server
	// certificate is that of the listeners, if there is one, and logins who may log in.
	certificate *smtpd.Certificate
	logins      *logins.Book
}

func (d *daemon) run(ctx context.Context) (err error) {
	// Before the spool is closed: after that another daemon may make its own.
	defer d.doors.close()
	if err := d.doors.open(ctx, d.config); err != nil {
		return err
	}
	if err := d.build(); err != nil {
		return err
	}
	defer d.agent.close()
	return d.serve(ctx)
}

// build makes the parts, each with the ones it calls.
func (d *daemon) build() error {
	cfg := d.config
	d.router = newRouter(cfg.Routes())
	d.agent = &agent{}
	if err := d.agent.replace(d, cfg); err != nil {
		return &ConfigError{err}
	}
	reporter := bounce.New(bounce.Options{
		Store: d.store, Hostname: cfg.Hostname, Origin: cfg.Origin, Postmaster: postmaster(cfg),
		Destination: d.router.Destination, Lifetime: cfg.Retry.Lifetime.D(), BounceLifetime: cfg.Retry.BounceLifetime.D(), Logger: d.logger,
	})
	d.scheduler = schedule.New(schedule.Options{
		Store: d.store, Agent: d.agent, Reporter: reporter, Logger: d.logger,
		MaxConnections: cfg.Delivery.MaxConnections, MaxPerSite: cfg.Delivery.MaxConnectionsPerDestination,
		Retry: backoff(cfg), KeepHistory: cfg.History.Keep.D(), DrainTimeout: drainTime,
	})
	d.intake = submission.New(submission.Options{
		Store: d.store, Router: d.router, Hostname: cfg.Hostname, Origin: cfg.Origin, LocalDomains: cfg.LocalDomains,
		MaxSize: int64(cfg.Submission.MaxMessageSize), MaxRecipients: cfg.Submission.MaxRecipients,
		Lifetime: cfg.Retry.Lifetime.D(), BounceLifetime: cfg.Retry.BounceLifetime.D(), DelayNotice: cfg.Retry.DelayNotice.D(),
		TrustedNetworks: cfg.Submission.Trusted(), Senders: cfg.Senders(), Unknown: d.agent.unknown, Logger: d.logger,
	})
	d.warnUnknownUsers(cfg)
	if err := d.openLogins(); err != nil {
		return &ConfigError{err}
	}
	d.server = smtpd.New(smtpd.Options{
		Intake: d.intake, Hostname: cfg.Hostname, MaxSize: int64(cfg.Submission.MaxMessageSize),
		MaxRecipients: cfg.Submission.MaxRecipients, TLS: d.serverTLS(), Logins: d.logins,
		MaxConnections: cfg.Submission.MaxConnections, MaxPerClient: cfg.Submission.MaxConnectionsPerClient,
		MaxLocalConnections: maxLocalSessions, MaxPerUser: cfg.Submission.MaxConnectionsPerUser,
		CommandName: commandName, Logger: d.logger,
	})
	return nil
}

// maxLocalSessions are held at once over the submission socket.
const maxLocalSessions = 1000

func postmaster(cfg *config.Config) address.Address {
	a, err := address.Parse(cfg.Local.Postmaster)
	if err != nil {
		a = address.Address{Local: "postmaster"}
	}
	return a.Qualify(cfg.Origin)
}

func backoff(cfg *config.Config) schedule.Backoff {
	return schedule.Backoff{First: cfg.Retry.First.D(), Max: cfg.Retry.Max.D()}
}

// serve runs everything and takes it down in order: first no more mail comes in,
// then the attempts under way end, last the administrators' door closes.
func (d *daemon) serve(ctx context.Context) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var group errgroup.Group
	run := func(name string, fn func() error) {
		group.Go(func() error {
			err := fn()
			if err != nil {
				err = fmt.Errorf("%s: %w", name, err)
			}
			if ctx.Err() == nil {
				stop(err)
			}
			return err
		})
	}
	controlCtx, endControl := context.WithCancel(context.WithoutCancel(ctx))
	defer endControl()
	d.start(ctx, controlCtx, run)
	run("scheduler", func() error {
		defer endControl()
		return d.scheduler.Run(ctx)
	})
	group.Go(func() error { d.watch(ctx, stop); return nil })
	d.ready()
	<-ctx.Done()
	systemd.SdNotify(false, systemd.SdNotifyStopping)
	d.logger.Info("stopping", "reason", reason(ctx))
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTime)
	defer cancel()
	if err := d.server.Shutdown(grace); err != nil {
		d.logger.Warn("sessions were cut short", "error", err)
	}
	err := group.Wait()
	if cause := context.Cause(ctx); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	d.logger.Info("stopped")
	return err
}

func reason(ctx context.Context) string {
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause.Error()
	}
	return "told to"
}

// start opens the doors.
func (d *daemon) start(ctx, controlCtx context.Context, run func(string, func() error)) {
	run("submission socket", func() error { return d.server.ServeUnix(ctx, d.doors.submit) })
	for _, l := range d.doors.network {
		run("listener "+l.Addr().String(), func() error { return d.server.ServeTCP(ctx, l.Listener, l.service) })
	}
	drop := maildrop.Reader{Dir: d.config.Maildrop(), Quarantine: d.config.Quarantine(), Accept: d.acceptDrop, Logger: d.logger}
	run("maildrop", func() error { drop.Run(ctx); return nil })
	admin := control.NewServer(&control.Local{Store: d.store, Kick: d.scheduler.Kick}, d.logger)
	run("control socket", func() error { return admin.Serve(controlCtx, d.doors.control) })
}

func (d *daemon) ready() {
	systemd.SdNotify(false, systemd.SdNotifyReady)
	addresses := make([]string, 0, len(d.doors.network))
	for _, l := range d.doors.network {
		addresses = append(addresses, l.Addr().String())
	}
	d.logger.Info("ready", "version", d.options.Version, "hostname", d.config.Hostname, "spool", d.config.Spool, "listen", strings.Join(addresses, " "))
	if d.options.Ready != nil {
		d.options.Ready()
	}
}

// watch waits for what ends or changes the run from outside.
func (d *daemon) watch(ctx context.Context, stop context.CancelCauseFunc) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	hourly := time.NewTicker(compactEvery)
	defer hourly.Stop()
	var idle <-chan time.Time
	if d.options.Once {
		ticker := time.NewTicker(idleCheck)
		defer ticker.Stop()
		idle = ticker.C
	}
	quiet := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.store.Failed():
			stop(queue.ErrFailed)
		case <-hup:
			d.reload()
		case <-hourly.C:
			if err := compact(ctx, d.store, d.logger); err != nil {
				d.logger.Warn("spool not compacted", "error", err)
			}
		case <-idle:
			if quiet++; d.busy(ctx) {
				quiet = 0
			}
			if quiet == 3 {
				stop(nil)
			}
		}
	}
}

// idleCheck is how often a run without a daemon looks whether it is done.
const idleCheck = 300 * time.Millisecond

func (d *daemon) busy(ctx context.Context) bool {
	s := d.scheduler.Snapshot()
	if s.Connections+s.Local+s.Leases > 0 {
		return true
	}
	due, err := d.store.Waking(ctx, time.Now(), 1)
	if err != nil || len(due) > 0 {
		return err == nil
	}
	owed, err := d.store.Agenda(ctx, time.Now(), 1)
	return err == nil && len(owed) > 0
}
