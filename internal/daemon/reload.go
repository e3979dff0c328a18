package daemon

import (
	"errors"
	"fmt"
	"slices"

	systemd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"postrider/internal/config"
	"postrider/queue/schedule"
)

// reload takes the configuration file's word on everything that can change while
// running. A wrong file changes nothing.
func (d *daemon) reload() {
	systemd.SdNotify(false, systemd.SdNotifyReloading+"\n"+monotonic())
	defer systemd.SdNotify(false, systemd.SdNotifyReady)
	cfg, err := d.options.Load()
	if err == nil {
		err = errors.Join(checkSecrets(cfg), checkKey(cfg))
	}
	if err == nil {
		err = d.agent.replace(d, cfg)
	}
	if err != nil {
		d.logger.Error("reload failed, the old configuration stays in effect", "error", err)
		return
	}
	if d.certificate != nil {
		if err := d.certificate.Reload(); err != nil {
			d.logger.Error("certificate not renewed, the old one stays in use", "error", err)
		}
	}
	d.router.current.Store(cfg.Routes())
	d.intake.SetSenders(cfg.Senders())
	d.intake.SetLocalDomains(cfg.LocalDomains)
	d.warnUnknownUsers(cfg)
	d.scheduler.Reconfigure(schedule.Limits{
		MaxConnections: cfg.Delivery.MaxConnections, MaxPerSite: cfg.Delivery.MaxConnectionsPerDestination, Retry: backoff(cfg),
	})
	d.level.Set(levelOf(cfg))
	if keys := needRestart(d.config, cfg); len(keys) > 0 {
		d.logger.Warn("these keys take effect at the next start only", "keys", keys)
	}
	d.logger.Info("configuration reloaded")
}

// needRestart lists keys with a new value that only a start applies.
func needRestart(old, cfg *config.Config) []string {
	fixed := []string{"hostname", "origin", "spool", "run_dir", "submission.listen", "submission.max_message_size",
		"submission.max_recipients", "submission.certificate_file", "submission.key_file", "submission.users", "submission.trusted_networks",
		"submission.max_connections", "submission.max_connections_per_client", "submission.max_connections_per_user", "retry.lifetime", "retry.bounce_lifetime", "retry.delay_notice", "local.postmaster", "history.keep", "log.format"}
	before := map[string]string{}
	for _, k := range old.Keys() {
		before[k.Name] = k.Value()
	}
	var keys []string
	for _, k := range cfg.Keys() {
		if slices.Contains(fixed, k.Name) && before[k.Name] != k.Value() {
			keys = append(keys, k.Name)
		}
	}
	return keys
}

// monotonic is what Type=notify-reload wants to be told with RELOADING=1.
func monotonic() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return ""
	}
	return fmt.Sprintf("MONOTONIC_USEC=%d", ts.Nano()/1000)
}
