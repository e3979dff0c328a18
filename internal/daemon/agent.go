package daemon

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"

	"postrider/delivery"
	"postrider/delivery/lmtp"
	"postrider/delivery/smtp"
	"postrider/internal/aliases"
	"postrider/internal/config"
	"postrider/mx"
	"postrider/queue"
	"postrider/queue/schedule"
)

// agent is the delivery agent of the configuration in effect.
type agent struct {
	current atomic.Pointer[delivery.Agent]
	// recipients is nil where it cannot be told who has an address.
	recipients atomic.Pointer[aliases.Expander]
	client     *smtp.Client
}

// Site implements schedule.Agent.
func (a *agent) Site(ctx context.Context, destination string) string {
	return a.current.Load().Site(ctx, destination)
}

// Deliver implements schedule.Agent.
func (a *agent) Deliver(ctx context.Context, w *queue.Work) schedule.Verdict {
	return a.current.Load().Deliver(ctx, w)
}

// replace builds the agent of a configuration; attempts under way keep theirs.
func (a *agent) replace(d *daemon, cfg *config.Config) error {
	roots, err := loadRoots(cfg.TLS.CAFile)
	if err != nil {
		return err
	}
	resolver, err := mx.New(mx.Options{
		Servers: cfg.DNS.Servers, TrustAD: cfg.DNS.TrustAD, Family: mx.Family(cfg.Delivery.IPFamily),
		Self:   mx.Self{Names: []string{cfg.Hostname}, Listeners: d.doors.addresses(), Port: uint16(cfg.Delivery.Port)},
		Logger: d.logger,
	})
	if err != nil {
		return fmt.Errorf("dns: %w", err)
	}
	mailboxes, err := d.newMailboxes(cfg)
	if err != nil {
		return err
	}
	expander := newExpander(cfg, cfg.Routes(), mailboxes)
	o := delivery.Options{
		Messages: d.store, Router: d.router, Resolver: resolver, Mailboxes: mailboxes, Expander: expander,
		Hostname: cfg.Hostname, Port: uint16(cfg.Delivery.Port), Bind: bindAddresses(cfg), RootCAs: roots,
		MessagesPerConnection: cfg.Delivery.MessagesPerConnection, Logger: d.logger,
	}
	if o.Masquerade, err = cfg.Masquerades(); err != nil {
		return err
	}
	if store, ok := strings.CutPrefix(cfg.Local.Mailbox, "lmtp:"); ok {
		if o.StoreAddress, err = lmtp.ParseTarget(store); err != nil {
			return fmt.Errorf("local.mailbox: %w", err)
		}
		o.MailStore = &lmtp.Client{Hostname: cfg.Hostname, Logger: d.logger}
	}
	if a.client == nil {
		a.client = smtp.New(smtp.Options{Logger: d.logger})
	}
	o.Client = a.client
	a.current.Store(delivery.New(o))
	a.recipients.Store(recipientCheck(cfg, expander))
	return nil
}

func (a *agent) close() { a.client.Close() }

func bindAddresses(cfg *config.Config) []netip.Addr {
	var list []netip.Addr
	for _, s := range cfg.Delivery.BindAddress {
		if ip, err := netip.ParseAddr(s); err == nil {
			list = append(list, ip)
		}
	}
	return list
}

func loadRoots(path string) (*x509.CertPool, error) {
	if path == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls.ca_file: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.ca_file %s holds no certificate in PEM form", path)
	}
	return roots, nil
}

// checkSecrets refuses to start with secrets that others can read.
func checkSecrets(cfg *config.Config) error {
	for _, s := range cfg.Smarthosts {
		if s.PasswordFile == "" {
			continue
		}
		if err := delivery.CheckSecret(s.PasswordFile); err != nil {
			return fmt.Errorf("smarthost %s: %w", s.Address, err)
		}
	}
	return nil
}
