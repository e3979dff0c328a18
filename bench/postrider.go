package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// daemonUID is who the daemon runs as if we are root.
const daemonUID = 4243

// warm is how long the daemon holds back after a start before it delivers at full
// speed.
const warm = 11 * time.Second

// postrider is ours, in a directory of its own.
type postrider struct {
	ctx     context.Context
	dir     string
	sink    *sink
	address string // of its SMTP listener
	process *exec.Cmd
	exited  chan error
	started time.Time
}

// newPostrider copies the programs, so that a build in the meantime does no harm
// and an unprivileged user can run them, and writes the configuration.
func newPostrider(ctx context.Context, bin, dir string, s *sink) (p *postrider, err error) {
	p = &postrider{ctx: ctx, dir: dir, sink: s}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for _, program := range []string{"sendmail", "postrider"} {
		if err := copyProgram(filepath.Join(bin, program), p.path(program)); err != nil {
			return nil, fmt.Errorf("%w; build it with \"make build\", or name its directory with -bin", err)
		}
	}
	if err := os.Symlink("sendmail", p.path("mailq")); err != nil {
		return nil, err
	}
	if p.address, err = freeAddress(); err != nil {
		return nil, err
	}
	text := fmt.Sprintf(`hostname = "bench.x.test"
spool = %q
run_dir = %q
submission.listen = [%q]
local.aliases = [%q]
[[smarthost]]
address = %q
tls = "none"
`, p.spool(), p.path("run"), p.address, p.aliasFile(), s.address)
	if err := os.WriteFile(p.path("postrider.toml"), []byte(text), 0o644); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		err = os.Chown(dir, daemonUID, daemonUID)
	}
	return p, err
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// freeAddress finds a port of the loopback address that is free now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (p *postrider) path(name string) string { return filepath.Join(p.dir, name) }

func (p *postrider) name() string  { return "postrider" }
func (p *postrider) smtp() string  { return p.address }
func (p *postrider) spool() string { return p.path("spool") }

func (p *postrider) program(name string, args ...string) caller {
	return caller{path: p.path(name), args: append([]string{name}, args...), env: []string{"POSTRIDER_CONFIG=" + p.path("postrider.toml")}}
}

func (p *postrider) sendmail() caller {
	c := p.program("sendmail", "-i", "-t")
	c.unprivileged = true
	return c
}

func (p *postrider) mailq() caller { return p.program("mailq") }

func (p *postrider) version() string {
	out, err := p.program("postrider", "version").output(p.ctx)
	if err != nil {
		return "(unknown version)"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimPrefix(line, "postrider ")
}

// start runs the daemon and waits until it takes mail.
func (p *postrider) start() error {
	log, err := os.OpenFile(p.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	p.process = p.program("postrider", "daemon").command(p.ctx)
	p.process.Stderr = log
	if os.Geteuid() == 0 {
		p.process.SysProcAttr.Credential = &syscall.Credential{Uid: daemonUID, Gid: daemonUID}
	}
	if err := p.process.Start(); err != nil {
		return err
	}
	p.exited = make(chan error, 1)
	go func() { p.exited <- p.process.Wait() }()
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); {
		if c, err := net.Dial("tcp", p.address); err == nil {
			c.Close()
			p.started = time.Now()
			return nil
		}
		select {
		case err := <-p.exited:
			p.process = nil
			return fmt.Errorf("postrider daemon ended: %v\n%s", err, p.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return errors.New("postrider daemon does not answer")
}

func (p *postrider) stop() error {
	if p.process == nil {
		return nil
	}
	process := p.process
	p.process = nil
	process.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return nil
	case <-time.After(30 * time.Second):
	}
	process.Process.Kill()
	<-p.exited
	return errors.New("postrider daemon did not stop within 30 s of SIGTERM")
}

// renew has it start again with an empty spool.
func (p *postrider) renew() error {
	if err := p.stop(); err != nil {
		return err
	}
	if err := os.RemoveAll(p.spool()); err != nil {
		return err
	}
	return p.start()
}

// awaitWarm waits until the daemon has run for long enough to go at full speed.
func (p *postrider) awaitWarm() error {
	select {
	case <-time.After(time.Until(p.started.Add(warm))):
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *postrider) pids() []int {
	if p.process == nil {
		return nil
	}
	return []int{p.process.Process.Pid}
}

func (p *postrider) hold() error  { return p.sink.setDown(true) }
func (p *postrider) ready() error { return p.sink.setDown(false) }

func (p *postrider) flush() error {
	_, err := p.program("postrider", "queue", "flush", "--quiet").output(p.ctx)
	return err
}

// logTail is the end of the daemon's log.
func (p *postrider) logTail() string {
	text, err := os.ReadFile(p.path("log"))
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-8):], []byte("\n")))
}
