package daemon

import (
	"crypto/tls"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"

	"postrider/delivery"
	"postrider/delivery/local"
	"postrider/internal/config"
	"postrider/internal/logins"
	"postrider/internal/smtpd"
)

// checkKey refuses a private key that others can read.
func checkKey(cfg *config.Config) error {
	if cfg.Submission.KeyFile == "" {
		return nil
	}
	if info, err := os.Stat(cfg.Submission.KeyFile); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("submission.key_file: %s is no regular file; name that of the certificate's private key", cfg.Submission.KeyFile)
	}
	if err := delivery.CheckSecret(cfg.Submission.KeyFile); err != nil {
		return fmt.Errorf("submission.key_file: %w", err)
	}
	return nil
}

// warnUnknownUsers tells of users in the rules of submission that /etc/passwd does
// not have: what is said of them holds for nobody.
func (d *daemon) warnUnknownUsers(cfg *config.Config) {
	named := map[string][]string{"submission.trusted_users": cfg.Submission.TrustedUsers, "submission.deny_users": cfg.Submission.DenyUsers}
	for _, r := range cfg.Submission.SenderRules {
		named["submission.sender_rules"] = append(named["submission.sender_rules"], r.Users...)
	}
	for _, key := range slices.Sorted(maps.Keys(named)) {
		for _, name := range named[key] {
			if _, err := strconv.Atoi(name); err == nil || name == "*" || name == "root" {
				continue
			}
			if u, err := local.LookupUser(name); err == nil && u == nil {
				d.logger.Warn("no such user in /etc/passwd, the key holds for nobody of that name; other users are named by uid", "key", key, "user", name)
			}
		}
	}
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
