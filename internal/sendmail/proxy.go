package sendmail

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"postrider/internal/sysexits"
)

// proxy lets the caller speak SMTP with the daemon (-bs): what comes in goes to
// the submission socket and what the daemon says goes out. Without a daemon the
// caller gets the greeting of a service that is not available (RFC 5321 §3.8).
func (r *run) proxy() error {
	if len(r.opts.operands) > 0 {
		return failf(sysexits.Usage, "option -bs takes no recipients; %s", usage)
	}
	c, err := dial(r.cfg.SubmitSocket(), r.env.Patience)
	if err != nil {
		return r.unavailable(err)
	}
	defer c.Close()
	c.limitWrites(0) // the caller has all the time it wants
	var in inbound
	go in.forward(c, r.env.Stdin)
	out := lastLine{w: r.env.Stdout}
	_, err = io.Copy(&out, c)
	switch {
	case out.failed != nil: // whoever asked does not listen any more
		return failf(sysexits.TempFail, "write to standard output: %v", out.failed)
	case out.says("221"), err == nil && in.ended():
		return nil
	case out.says("421"):
		return &failure{status: sysexits.TempFail}
	case err == nil:
		err = errUnavailable
	}
	return r.unavailable(err)
}

// unavailable tells it in the caller's language; nothing goes to standard error,
// which some callers read as replies.
func (r *run) unavailable(err error) error {
	fmt.Fprintf(r.env.Stdout, "421 4.3.2 %s mail system is not available: %s\r\n", r.cfg.Hostname, oneLine(err.Error()))
	return &failure{status: sysexits.TempFail}
}

// inbound is the half of the proxy that reads standard input. It ends with the
// input, or with the process: a read of a terminal cannot be called off.
type inbound struct {
	mu  sync.Mutex
	eof bool
}

func (i *inbound) forward(c *connection, stdin io.Reader) {
	_, err := io.Copy(c, stdin)
	if err != nil && !errors.Is(err, io.EOF) {
		return
	}
	i.mu.Lock()
	i.eof = true
	i.mu.Unlock()
	unix.Shutdown(c.fd, unix.SHUT_WR)
}

func (i *inbound) ended() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.eof
}

// lastLine passes replies on and keeps the code of the last line.
type lastLine struct {
	w      io.Writer
	code   []byte
	start  bool // the next byte begins a line
	begun  bool
	failed error
}

func (l *lastLine) Write(p []byte) (int, error) {
	for _, c := range p {
		if l.start || !l.begun {
			l.code, l.start, l.begun = l.code[:0], false, true
		}
		if len(l.code) < 3 {
			l.code = append(l.code, c)
		}
		l.start = c == '\n'
	}
	n, err := l.w.Write(p)
	l.failed = err
	return n, err
}

func (l *lastLine) says(code string) bool { return string(l.code) == code }
