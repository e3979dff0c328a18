package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a running daemon.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  *output
	done chan struct{} // closed when it has ended
}

// output collects what a program writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) has(text string) bool { return strings.Contains(o.String(), text) }

// start starts the daemon and waits until it takes mail.
func (h *host) start() *process {
	h.t.Helper()
	p := h.launch(h.command(h.user, "postrider", "daemon"))
	p.ready()
	return p
}

// launch starts the daemon as the command says; it ends with the test.
func (h *host) launch(cmd *exec.Cmd) *process {
	h.t.Helper()
	p := &process{t: h.t, cmd: cmd, log: new(output), done: make(chan struct{})}
	cmd.Stderr = p.log
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		// How it ended, ProcessState tells.
		_ = cmd.Wait()
	}()
	h.proc = p
	h.t.Cleanup(func() {
		p.kill()
		if h.t.Failed() || os.Getenv("E2E_LOG") != "" {
			h.t.Logf("the daemon's log:\n%s", tail(p.log.String(), h.tail))
		}
	})
	return p
}

// tailSize is how much of a log is shown of a test that failed.
const tailSize = 16 << 10

func tail(s string, size int) string { return s[max(0, len(s)-size):] }

// ready waits until the daemon says so.
func (p *process) ready() {
	p.t.Helper()
	until(p.t, "the daemon is ready", func() bool {
		select {
		case <-p.done:
			p.t.Fatalf("the daemon ended with %v: %s", p.cmd.ProcessState, tail(p.log.String(), tailSize))
		default:
		}
		return p.log.has("msg=ready")
	})
}

// logged waits for a text in the log.
func (p *process) logged(text string) {
	p.t.Helper()
	until(p.t, "the daemon logs "+text, func() bool { return p.log.has(text) })
}

var listenAddress = regexp.MustCompile(`msg=ready .*listen=(\S+)`)

// address is where the daemon takes mail over TCP.
func (p *process) address() string {
	p.t.Helper()
	m := listenAddress.FindStringSubmatch(p.log.String())
	if m == nil {
		p.t.Fatal("the daemon does not say where it listens")
	}
	return m[1]
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// running reports whether the daemon has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// exit waits for the end and gives the status.
func (p *process) exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		p.t.Fatalf("the daemon did not end within %v", within)
		return -1
	}
}

// stop stops the daemon in order.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exit(patience); code != 0 {
		p.t.Fatalf("the daemon ended with %d", code)
	}
}

// kill ends the daemon at once. It does nothing to one that has ended.
func (p *process) kill() {
	if p.running() {
		// It may end by itself at this moment.
		_ = p.cmd.Process.Kill()
	}
	<-p.done
}
