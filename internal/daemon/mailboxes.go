package daemon

import (
	"context"
	"fmt"
	"io"

	"postrider/delivery/local"
	"postrider/internal/config"
	"postrider/internal/mailboxd"
)

// mailboxes are this host's: what we may do ourselves, and what the helper does
// for us.
type mailboxes struct {
	own    *local.Mailboxes
	helper *mailboxd.Client
}

// HelperSettings are what the local delivery helper takes from a configuration.
func HelperSettings(cfg *config.Config) mailboxd.Settings {
	return mailboxd.Settings{
		Template: cfg.Local.Mailbox, Hostname: cfg.Hostname, Forward: cfg.Local.Forward, Delimiter: cfg.Local.Delimiter,
		DefaultUser: cfg.Local.DefaultUser, CommandTimeout: cfg.Local.CommandTimeout.D(), Spool: cfg.Spool,
	}
}

func (d *daemon) newMailboxes(cfg *config.Config) (*mailboxes, error) {
	options := HelperSettings(cfg).Options()
	options.Logger, options.Environment = d.logger, local.Locale()
	own, err := local.New(options)
	if err != nil {
		return nil, fmt.Errorf("local: %w", err)
	}
	m := &mailboxes{own: own, helper: mailboxd.NewClient(cfg.LocalSocket())}
	if d.helper != nil {
		m.helper = &mailboxd.Client{Dial: d.helper.Dial}
	}
	m.helper.CommandTimeout = cfg.Local.CommandTimeout.D()
	return m, nil
}

// Deliver implements delivery.Mailboxes.
func (m *mailboxes) Deliver(ctx context.Context, e local.Envelope, open func() (io.ReadCloser, error)) local.Outcome {
	if m.ours(m.own.Plan(e)) {
		return m.own.Deliver(ctx, e, open)
	}
	return m.helper.Deliver(ctx, e, open)
}

// Forward implements delivery.Mailboxes.
func (m *mailboxes) Forward(ctx context.Context, user string) local.Outcome {
	if m.ours(m.own.PlanForward(user)) {
		return m.own.Forward(ctx, user)
	}
	return m.helper.Forward(ctx, user)
}

// Include reads a file of addresses as a user.
func (m *mailboxes) Include(ctx context.Context, user, path string) local.Outcome {
	if m.ours(m.own.PlanInclude(user, path)) {
		return m.own.Include(ctx, user, path)
	}
	return m.helper.Include(ctx, user, path)
}

// ours tells whether we can do it: there is nothing to be done, or we have the
// right to.
func (m *mailboxes) ours(j local.Job, answer *local.Outcome) bool {
	return answer != nil || m.own.Able(j)
}
