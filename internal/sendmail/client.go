package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"slices"
	"strings"
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

// errUnavailable says that the daemon could not be asked, or broke off: nobody
// knows whether it took the message. Another way in is to be tried.
var errUnavailable = errors.New("daemon does not answer")

// connection speaks SMTP (RFC 5321, RFC 2920) with the daemon.
type connection struct {
	net.Conn
	patience Patience
	text     *textproto.Conn
	offered  []string // EHLO keywords, in upper case
}

// dial connects to the submission socket. A full listen queue is no sign of a dead
// daemon, only of a busy one.
func dial(ctx context.Context, path string, p Patience) (*connection, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Connect)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return &connection{Conn: c, patience: p, text: textproto.NewConn(c)}, nil
		}
		if !errors.Is(err, unix.EAGAIN) {
			return nil, fmt.Errorf("%w: %w", errUnavailable, err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", errUnavailable, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hello reads the greeting and introduces us. The name carries the submission id.
func (c *connection) hello(name string) error {
	c.SetDeadline(time.Now().Add(c.patience.Greet))
	if _, err := c.expect(2); err != nil {
		return err
	}
	if err := c.text.PrintfLine("EHLO %s", name); err != nil {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	text, err := c.expect(2)
	if err != nil {
		return err
	}
	for line := range strings.Lines(text) {
		keyword, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		c.offered = append(c.offered, strings.ToUpper(keyword))
	}
	return nil
}

func (c *connection) offers(keyword string) bool { return slices.Contains(c.offered, keyword) }

// expect reads a reply of a class. Any other class is a *reply, and no reply at
// all, or one that says the service is not there, errUnavailable.
func (c *connection) expect(class int) (string, error) {
	_, text, err := c.text.ReadResponse(class)
	var answer *textproto.Error
	switch {
	case err == nil:
		return text, nil
	case !errors.As(err, &answer):
		return "", fmt.Errorf("%w: %w", errUnavailable, err)
	case answer.Code == 421, answer.Code/100 < 4, slices.Contains(misunderstood[:], answer.Code):
		return "", fmt.Errorf("%w: it said: %w", errUnavailable, answer)
	}
	return "", &reply{answer.Code, answer.Msg}
}

// misunderstood are the replies of a daemon that does not know our commands.
var misunderstood = [...]int{500, 502, 503, 504, 555}

// refusal is a recipient that was not taken.
type refusal struct {
	recipient string
	reply     *reply
}

// submit hands a message in. What it returns without error is durable, but for
// the recipients that were refused while others were not.
func (c *connection) submit(m *parcel) (said string, refused []refusal, err error) {
	refused, err = c.envelope(m)
	if err != nil {
		return "", nil, err
	}
	if len(refused) == len(m.recipients) {
		return "", nil, refused[0].reply
	}
	c.SetDeadline(time.Now().Add(c.patience.Reply))
	if err := c.text.PrintfLine("DATA"); err != nil {
		return "", nil, fmt.Errorf("%w: %w", errUnavailable, err)
	}
	if _, err := c.expect(3); err != nil {
		return "", nil, err
	}
	if said, err = c.body(m.message.reader()); err != nil {
		return "", nil, err
	}
	c.text.PrintfLine("QUIT")
	return said, refused, nil
}

// envelope sends MAIL and RCPT, many at a time, and reads the replies. Recipients
// that are refused for good are returned; a temporary refusal of one is an error,
// for the caller will come again with all of them.
func (c *connection) envelope(m *parcel) (refused []refusal, err error) {
	commands := m.commands(c.offers)
	for first := 0; first < len(commands); {
		n, block := takeBlock(commands[first:])
		c.SetDeadline(time.Now().Add(c.patience.Reply))
		if _, err := io.WriteString(c.Conn, block); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnavailable, err)
		}
		for i := first; i < first+n; i++ {
			_, err := c.expect(2)
			var r *reply
			switch {
			case err == nil:
			case i > 0 && errors.As(err, &r) && r.permanent():
				refused = append(refused, refusal{m.recipients[i-1].Address.String(), r})
			default:
				return nil, err
			}
		}
		first += n
	}
	return refused, nil
}

// takeBlock joins commands up to pipelineBytes.
func takeBlock(commands []string) (n int, block string) {
	var b strings.Builder
	for n < len(commands) && (n == 0 || b.Len()+len(commands[n]) < pipelineBytes) {
		b.WriteString(commands[n])
		b.WriteString("\r\n")
		n++
	}
	return n, b.String()
}

// body sends the message and waits until it is durable.
func (c *connection) body(r io.Reader) (said string, err error) {
	dots := c.text.DotWriter()
	piece := make([]byte, 32<<10)
	for {
		n, err := r.Read(piece)
		c.SetDeadline(time.Now().Add(c.patience.Reply))
		if _, werr := dots.Write(piece[:n]); werr != nil {
			return "", c.brokenOff(werr)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", fmt.Errorf("read buffered message: %w", err)
		}
	}
	if err := dots.Close(); err != nil {
		return "", c.brokenOff(err)
	}
	c.SetDeadline(time.Now().Add(c.patience.Accept))
	return c.expect(2)
}

// brokenOff looks for the reply of a daemon that did not read to the end.
func (c *connection) brokenOff(err error) error {
	if _, said := c.expect(2); said != nil && !errors.Is(said, errUnavailable) {
		return said
	}
	return fmt.Errorf("%w: %w", errUnavailable, err)
}
