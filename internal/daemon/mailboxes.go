package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"postrider/delivery/local"
	"postrider/internal/config"
	"postrider/internal/mailboxd"
)

// mailboxes are this host's: those that we may write ourselves, and those that
// the helper writes for us.
type mailboxes struct {
	own    *local.Mailboxes
	helper *mailboxd.Client
}

func (d *daemon) newMailboxes(cfg *config.Config) (*mailboxes, error) {
	own, err := local.New(local.Options{Template: cfg.Local.Mailbox, Hostname: cfg.Hostname, Logger: d.logger})
	if err != nil {
		return nil, fmt.Errorf("local.mailbox: %w", err)
	}
	m := &mailboxes{own: own, helper: mailboxd.NewClient(cfg.LocalSocket())}
	if d.helper != nil {
		m.helper = &mailboxd.Client{Dial: d.helper.Dial}
	}
	return m, nil
}

// Deliver implements delivery.Mailboxes.
func (m *mailboxes) Deliver(ctx context.Context, e local.Envelope, open func() (io.ReadCloser, error)) local.Outcome {
	if m.mayWrite(e) {
		return m.own.Deliver(ctx, e, open)
	}
	return m.helper.Deliver(ctx, e, open)
}

// mayWrite tells whether we can deliver ourselves: as root, to a mailbox that is
// writable for us in a directory that is, too, or to nobody.
func (m *mailboxes) mayWrite(e local.Envelope) bool {
	if os.Geteuid() == 0 {
		return true
	}
	box, refused := m.own.Find(e.To)
	if refused != nil {
		return true
	}
	if unix.Access(filepath.Dir(box.Path), unix.W_OK) != nil {
		return false
	}
	err := unix.Access(box.Path, unix.R_OK|unix.W_OK)
	return err == nil || errors.Is(err, unix.ENOENT) && box.Owner.UID == os.Geteuid()
}
