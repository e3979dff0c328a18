package daemon

import (
	"crypto/tls"
	"fmt"
	"slices"

	"postrider/delivery"
	"postrider/internal/config"
	"postrider/internal/logins"
	"postrider/internal/smtpd"
)

// checkKey refuses a private key that others can read.
func checkKey(cfg *config.Config) error {
	if cfg.Submission.KeyFile == "" {
		return nil
	}
	if err := delivery.CheckSecret(cfg.Submission.KeyFile); err != nil {
		return fmt.Errorf("submission.key_file: %w", err)
	}
	return nil
}

// openLogins reads what the listeners need to offer TLS and logins.
func (d *daemon) openLogins() (err error) {
	cfg := d.config.Submission
	if cfg.CertificateFile != "" {
		if d.certificate, err = smtpd.LoadCertificate(cfg.CertificateFile, cfg.KeyFile, d.logger); err != nil {
			return fmt.Errorf("submission.certificate_file: %w", err)
		}
	}
	if !slices.ContainsFunc(d.doors.network, func(l door) bool { return l.service != smtpd.Relay }) {
		return nil
	}
	d.logins = logins.Open(cfg.Users)
	if err := d.logins.Check(); err != nil {
		return fmt.Errorf("submission.users: %w", err)
	}
	if !d.logins.Exists() {
		d.logger.Warn("nobody can log in: there is no file of logins; make one with postrider user add", "file", cfg.Users)
	}
	return nil
}

// serverTLS is what the listeners offer; nil for none.
func (d *daemon) serverTLS() *tls.Config {
	if d.certificate == nil {
		return nil
	}
	return &tls.Config{GetCertificate: d.certificate.Get, MinVersion: tls.VersionTLS12}
}
