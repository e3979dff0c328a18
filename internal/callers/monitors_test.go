package callers

import (
	"strings"
	"testing"
)

// smartd starts this script, with these variables, to mail; smartd itself would need
// a disk that tells of its health. Debian's way takes one address.
func smartd(t *testing.T, m *machine) {
	for address, mailer := range map[string]string{"bob": "/usr/share/smartmontools/smartd-runner", "smartd.caller@example.net": ""} {
		m.must(t, "root", "/usr/share/smartmontools/smartd_warning.sh", "SMARTD_ADDRESS="+address, "SMARTD_MAILER="+mailer,
			"SMARTD_MESSAGE=TEST EMAIL from smartd for device: /dev/sda", "SMARTD_FAILTYPE=EmailTest", "SMARTD_TFIRST=",
			"SMARTD_TFIRSTEPOCH=0", "SMARTD_PREVCNT=0", "SMARTD_NEXTDAYS=", "SMARTD_DEVICE=/dev/sda", "SMARTD_DEVICETYPE=auto",
			"SMARTD_DEVICESTRING=/dev/sda", "SMARTD_DEVICEINFO=smartd.caller")
	}
	m.both(t, "smartd.caller", "root@example.org", func(a arrival) {
		a.says(t, "Subject", "SMART error (EmailTest) detected on host: testhost", "From", "root <root@example.org>")
		a.contains(t, "\n\nTEST EMAIL from smartd for device: /dev/sda\n\nDevice info:\nsmartd.caller\n\nFor details see host's SYSLOG.\n")
	})
}

func mdadm(t *testing.T, m *machine) {
	m.must(t, "root", "mdadm --monitor --test --oneshot --mail='bob, mdadm.caller@example.net' /dev/md/mdadm.caller")
	m.both(t, "mdadm.caller", "root@example.org", func(a arrival) {
		a.says(t, "Subject", "TestMessage event on /dev/md/mdadm.caller:testhost", "From", "mdadm monitoring <root@testhost>")
		a.contains(t, "\n\nA TestMessage event had been detected on md device /dev/md/mdadm.caller.\n")
	})
}

func logwatch(t *testing.T, m *machine) {
	m.mkdir(t, "/var/cache/logwatch")
	m.write(t, "/var/log/syslog", "Nov 23 09:00:01 testhost CRON[1]: (root) CMD (logwatch.caller)\n")
	m.must(t, "root", "logwatch --output mail --mailto 'bob, logwatch.caller@example.net' --range all --service cron --detail high")
	m.both(t, "logwatch.caller", "root@example.org", func(a arrival) {
		a.says(t, "Subject", "Logwatch for testhost (Linux)", "From", "root@example.org", "Precedence", "bulk")
		a.contains(t, "\n Commands Run:\n    User root:\n       logwatch.caller: 1 Time(s)\n")
	})
}

// fail2ban mails that a jail has started, and that an address is banned.
func fail2ban(t *testing.T, m *machine) {
	m.remove(t, "/etc/fail2ban/jail.d/defaults-debian.conf")
	m.write(t, "/etc/fail2ban/jail.local", `[fail2ban.caller]
enabled = true
filter = sshd
backend = polling
logpath = /var/log/auth.log
action = sendmail[actname=near, name=fail2ban.caller, dest=bob, sender=bounce@example.org, sendername=Guard]
         sendmail[actname=far, name=fail2ban.caller, dest=fail2ban.caller@example.net, sender=bounce@example.org, sendername=Guard]
`)
	m.write(t, "/var/log/auth.log", "")
	m.mkdir(t, "/run/fail2ban")
	m.daemon(t, "root", "exec fail2ban-server -f start")
	m.both(t, "fail2ban.caller: started on", "bounce@example.org", func(a arrival) {
		a.says(t, "From", "Guard <bounce@example.org>")
		a.contains(t, "\nThe jail fail2ban.caller has been started successfully.\n")
	})
	if said := m.must(t, "root", "fail2ban-client set fail2ban.caller banip 192.0.2.1"); strings.TrimSpace(said) != "1" {
		t.Errorf("fail2ban-client says %q", said)
	}
	m.both(t, "fail2ban.caller: banned 192.0.2.1", "bounce@example.org", func(a arrival) {
		a.says(t, "From", "Guard <bounce@example.org>")
		a.contains(t, "\nThe IP 192.0.2.1 has just been banned by Fail2Ban after\n")
	})
}
