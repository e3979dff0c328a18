package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// postfix is Postfix as its defaults are, but for where it listens and relays to.
type postfix struct {
	peer
	address string
}

func newPostfix(env peerEnv) *postfix {
	return &postfix{peer: peer{peerEnv: env, label: "postfix", program: "usr/sbin/postfix"}}
}

func (p *postfix) smtp() string  { return p.address }
func (p *postfix) spool() string { return p.file("var/spool/postfix") }
func (p *postfix) mailq() caller { return p.caller("/usr/sbin/postqueue", "postqueue", "-p") }

func (p *postfix) sendmail() caller {
	c := p.caller("/usr/sbin/sendmail", "sendmail", "-i", "-t")
	c.unprivileged = true
	return c
}

func (p *postfix) version() string {
	return firstLine(p.caller("/usr/sbin/postconf", "postconf").output(p.ctx, "-d", "mail_version"))
}

// Services of Debian's master.cf: the SMTP listener, and those run with chroot, which
// would need more files in the spool.
var (
	smtpListener  = regexp.MustCompile(`(?m)^smtp +inet .*$`)
	chrootService = regexp.MustCompile(`(?m)^(\S+ +unix +\S+ +\S+ +)y`)
)

func (p *postfix) start() (err error) {
	if p.address, err = freeAddress(); err != nil {
		return err
	}
	master, err := os.ReadFile(p.file("etc/postfix/master.cf.proto"))
	if err != nil {
		return err
	}
	master = smtpListener.ReplaceAll(master, []byte(p.address+" inet n - n - - smtpd"))
	master = chrootService.ReplaceAll(master, []byte("${1}n"))
	if err := os.WriteFile(p.file("etc/postfix/master.cf"), master, 0o644); err != nil {
		return err
	}
	host, port := p.sinkHostPort()
	main := fmt.Sprintf(`compatibility_level = 3.6
myhostname = bench.x.test
mydestination = localhost
relayhost = [%s]:%s
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtp_tls_security_level = none
smtpd_tls_security_level = none
message_size_limit = 52428800
mailbox_size_limit = 0
`, host, port)
	if err := os.WriteFile(p.file("etc/postfix/main.cf"), []byte(main), 0o644); err != nil {
		return err
	}
	p.end() // left over from a run that was killed
	p.empty()
	if err := p.run("/usr/sbin/postfix", "start"); err != nil {
		return err
	}
	return awaitListener(p.address, 10*time.Second)
}

func awaitListener(address string, patience time.Duration) error {
	for limit := time.Now().Add(patience); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(limit) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (p *postfix) stop() error {
	p.run("/usr/sbin/postfix", "stop")
	p.end()
	p.empty()
	return nil
}

// end waits for its processes, the last of which take their time, and kills them.
func (p *postfix) end() {
	for limit := time.Now().Add(2 * time.Second); len(p.pids()) > 0 && time.Now().Before(limit); {
		time.Sleep(50 * time.Millisecond)
	}
	for _, pid := range p.pids() {
		syscall.Kill(pid, syscall.SIGKILL)
	}
}

// empty removes all mail.
func (p *postfix) empty() {
	for _, queue := range []string{"maildrop", "incoming", "active", "deferred", "defer", "bounce"} {
		entries, _ := filepath.Glob(filepath.Join(p.spool(), queue, "*"))
		for _, entry := range entries {
			os.RemoveAll(entry)
		}
	}
}

func (p *postfix) hold() error {
	if err := p.run("/usr/sbin/postconf", "-e", "defer_transports=smtp"); err != nil {
		return err
	}
	return p.reload()
}

func (p *postfix) ready() error {
	if err := p.run("/usr/sbin/postconf", "-X", "defer_transports"); err != nil {
		return err
	}
	return p.reload()
}

// reload returns when the new processes are there.
func (p *postfix) reload() error {
	err := p.run("/usr/sbin/postfix", "reload")
	time.Sleep(time.Second)
	return err
}

func (p *postfix) flush() error { return p.run("/usr/sbin/postqueue", "-f") }
