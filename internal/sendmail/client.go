package sendmail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Patience limits the time spent on the submission socket. Whoever waits for us,
// cron for one, must get an answer though the daemon hangs: when a limit is passed
// the message goes another way. If the daemon stores it after all, the submission
// id keeps it single.
type Patience struct {
	Connect time.Duration
	Greet   time.Duration // for the greeting and the reply to EHLO
	Reply   time.Duration // for replies to commands, and each block of the body
	Accept  time.Duration // for the reply that the message is durable
}

// DefaultPatience leaves a busy daemon time for a slow disk.
func DefaultPatience() Patience {
	return Patience{Connect: 5 * time.Second, Greet: 10 * time.Second, Reply: 30 * time.Second, Accept: 2 * time.Minute}
}

// pipelineBytes of commands are sent before their replies are read. It is well
// below what a socket buffers, so that the daemon and we never both wait for the
// other to read.
const pipelineBytes = 16 << 10

// replyLines is how many lines a reply may have before it is none.
const replyLines = 256

// errUnavailable says that the daemon could not be asked, or broke off: nobody
// knows whether it took the message. Another way in is to be tried.
var errUnavailable = errors.New("daemon does not answer")

func unavailable(err error) error { return fmt.Errorf("%w: %w", errUnavailable, err) }

// connection speaks SMTP (RFC 5321, RFC 2920) with the daemon. The socket blocks
// and the kernel keeps its time limits: package net, the poller and its goroutines
// would take longer to get ready than the whole dialogue takes.
type connection struct {
	*os.File
	fd       int
	patience Patience
	in       *bufio.Reader
}

// dial connects to the submission socket. If its listen queue is full, the daemon
// is not dead, only busy: the kernel waits for a place.
func dial(path string, p Patience) (*connection, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, unavailable(os.NewSyscallError("socket", err))
	}
	c := &connection{File: os.NewFile(uintptr(fd), path), fd: fd, patience: p}
	c.limitWrites(p.Connect)
	for err = unix.EINTR; err == unix.EINTR; {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err != nil {
		c.Close()
		return nil, unavailable(os.NewSyscallError("connect", err))
	}
	c.in = bufio.NewReader(c.File)
	return c, nil
}

// limitReads and limitWrites say how long each read or write from now on may take;
// zero is without limit. That it cannot be set is no reason not to go on.
func (c *connection) limitReads(d time.Duration)  { c.limit(unix.SO_RCVTIMEO, d) }
func (c *connection) limitWrites(d time.Duration) { c.limit(unix.SO_SNDTIMEO, d) }

func (c *connection) limit(option int, d time.Duration) {
	tv := unix.NsecToTimeval(int64(d))
	unix.SetsockoptTimeval(c.fd, unix.SOL_SOCKET, option, &tv)
}

// expect reads a reply of a class. Any other class is a *reply, and no reply at
// all, or one that says the service is not there, errUnavailable.
func (c *connection) expect(class int) (string, error) {
	r, err := c.readReply()
	switch {
	case err != nil:
		return "", unavailable(err)
	case r.code/100 == class:
		return r.text, nil
	case r.code == 421, r.code/100 < 4, slices.Contains(misunderstood[:], r.code):
		return "", fmt.Errorf("%w: it said: %v", errUnavailable, r)
	}
	return "", r
}

// misunderstood are the replies of a daemon that does not know our commands.
var misunderstood = [...]int{500, 502, 503, 504, 555}

// readReply reads a reply of one line or more (RFC 5321 §4.2).
func (c *connection) readReply() (*reply, error) {
	var text []byte
	for range replyLines {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		line = bytes.TrimRight(line, "\r\n")
		code, err := strconv.Atoi(string(line[:min(3, len(line))]))
		if err != nil || code < 100 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
			return nil, fmt.Errorf("it said: %q", line)
		}
		text = append(text, line[min(4, len(line)):]...)
		if len(line) < 4 || line[3] == ' ' {
			return &reply{code, string(text)}, nil
		}
		text = append(text, '\n')
	}
	return nil, errors.New("its reply has no end")
}

// refusal is a recipient that was not taken.
type refusal struct {
	recipient string
	reply     *reply
}

// submit hands a message in. What it returns without error is durable, but for
// the recipients that were refused while others were not.
func (c *connection) submit(m *parcel) (said string, refused []refusal, err error) {
	c.limitReads(c.patience.Greet)
	c.limitWrites(c.patience.Reply)
	refused, err = c.envelope(m)
	if err != nil {
		return "", nil, err
	}
	said, err = c.body(m)
	return said, refused, err
}

// envelope sends all up to DATA, many commands at a time and the first without
// waiting for the greeting: it is our own daemon, which offers all we ask for, and
// does so in lockstep. Recipients that are refused for good are returned if there
// are others; a temporary refusal of one is an error, for the caller will come
// again with all of them. Who breaks off before the body leaves nothing behind.
func (c *connection) envelope(m *parcel) (refused []refusal, err error) {
	commands := m.commands()
	for first := 0; first < len(commands); {
		n, block := takeBlock(commands[first:])
		if _, err := io.WriteString(c.File, block); err != nil {
			return nil, c.brokenOff(err)
		}
		if first == 0 {
			if err := c.hello(); err != nil {
				return nil, err
			}
		}
		for i := max(first, afterHello); i < min(first+n, len(commands)-1); i++ {
			_, err := c.expect(2)
			var r *reply
			switch {
			case err == nil:
			case i > afterHello && errors.As(err, &r) && r.permanent():
				refused = append(refused, refusal{m.recipients[i-afterHello-1].Address.String(), r})
			default:
				return nil, err
			}
		}
		first += n
	}
	if len(refused) == len(m.recipients) {
		return nil, refused[0].reply
	}
	_, err = c.expect(3)
	return refused, err
}

// hello reads the greeting and the reply to EHLO.
func (c *connection) hello() error {
	if _, err := c.expect(2); err != nil {
		return err
	}
	if _, err := c.expect(2); err != nil {
		return err
	}
	c.limitReads(c.patience.Reply)
	return nil
}

// takeBlock joins commands up to pipelineBytes.
func takeBlock(commands []string) (n int, block string) {
	var b []byte
	for n < len(commands) && (n == 0 || len(b)+len(commands[n]) < pipelineBytes) {
		b = append(append(b, commands[n]...), "\r\n"...)
		n++
	}
	return n, string(b)
}

// body sends the message and QUIT, and waits until the message is durable. Nobody
// waits for the reply to QUIT.
func (c *connection) body(m *parcel) (said string, err error) {
	out := bufio.NewWriterSize(c.File, int(min(m.message.size+m.message.size/16+512, bodyBlock)))
	dots := dotWriter{w: out}
	r := m.message.reader()
	piece := make([]byte, min(m.message.size+1, bodyBlock))
	for {
		n, err := r.Read(piece)
		if werr := dots.add(piece[:n]); werr != nil {
			return "", c.brokenOff(werr)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read buffered message: %w", err)
		}
	}
	dots.end()
	out.WriteString("QUIT\r\n")
	if err := out.Flush(); err != nil {
		return "", c.brokenOff(err)
	}
	c.limitReads(c.patience.Accept)
	return c.expect(2)
}

// brokenOff looks for the reply of a daemon that did not read to the end.
func (c *connection) brokenOff(err error) error {
	if _, said := c.expect(2); said != nil && !errors.Is(said, errUnavailable) {
		return said
	}
	return unavailable(err)
}
