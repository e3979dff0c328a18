package mailboxd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strings"
	"time"

	"postrider/delivery/local"
	"postrider/queue"
)

// patience is how long a client waits for the outcome beyond the time of commands:
// longer than a helper may take, so that it has the last word.
const patience = 7 * time.Minute

// Client has the helper deliver. It implements delivery.Mailboxes and is safe for
// concurrent use.
type Client struct {
	// Dial connects to the helper. Its error tells the administrator what to do.
	Dial func(ctx context.Context) (net.Conn, error)
	// CommandTimeout is how long the helper lets a command run.
	CommandTimeout time.Duration
}

// NewClient makes a Client of a helper that listens on a socket.
func NewClient(socket string) *Client {
	return &Client{Dial: func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", socket)
		if err != nil {
			return nil, fmt.Errorf("local delivery helper is not running: systemctl enable --now postrider-local.socket (%w)", err)
		}
		return conn, nil
	}}
}

// Deliver has one message delivered. Whatever goes wrong between here and the
// recipient's mailbox is queue.Temporary: the message waits.
func (c *Client) Deliver(ctx context.Context, e local.Envelope, open func() (io.ReadCloser, error)) local.Outcome {
	return c.ask(ctx, request{Kind: kindDeliver, Envelope: e}, open)
}

// Forward has somebody look whether a user has a .forward, as local.Mailboxes does.
func (c *Client) Forward(ctx context.Context, user string) local.Outcome {
	return c.ask(ctx, request{Kind: kindForward, User: user}, nil)
}

// Include has a file of addresses read as a user, as local.Mailboxes does.
func (c *Client) Include(ctx context.Context, user, path string) local.Outcome {
	return c.ask(ctx, request{Kind: kindInclude, User: user, Path: path}, nil)
}

// ask sends a request, with a message if open is not nil.
func (c *Client) ask(ctx context.Context, req request, open func() (io.ReadCloser, error)) local.Outcome {
	conn, err := c.Dial(ctx)
	if err != nil {
		return temporary("4.3.5", err)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	outcome, err := c.exchange(conn, req, open)
	switch {
	case ctx.Err() != nil && err != nil:
		return temporary("4.3.0", fmt.Errorf("local delivery: %w", ctx.Err()))
	case err != nil:
		return temporary("4.3.0", err)
	}
	return outcome
}

func temporary(status string, err error) local.Outcome {
	return local.Outcome{Result: queue.Temporary, Status: status, Text: strings.Join(strings.Fields(err.Error()), " ")}
}

// exchange sends a request and takes the answer.
func (c *Client) exchange(conn net.Conn, req request, open func() (io.ReadCloser, error)) (local.Outcome, error) {
	if err := conn.SetDeadline(time.Now().Add(patience + c.CommandTimeout)); err != nil {
		return local.Outcome{}, fmt.Errorf("local delivery helper: %w", err)
	}
	if err := writeFrame(conn, req, maxRequest); err != nil {
		return local.Outcome{}, brokeOff(err)
	}
	var sent error
	if open != nil {
		sent = sendMessage(conn, open)
	}
	var ours *spoolError
	if errors.As(sent, &ours) {
		return local.Outcome{}, ours
	}
	// A helper that knows the outcome early reads no further: it has answered then.
	outcome, err := readAnswer(conn, req.Kind)
	if err == nil && outcome.Result == queue.Expanded && !req.mayForward() {
		err = fmt.Errorf("%w: a .forward for a %v", errMalformed, req)
	}
	if err != nil {
		return outcome, brokeOff(err)
	}
	if sent != nil && outcome.Result == queue.Delivered {
		return outcome, fmt.Errorf("local delivery helper did not take the whole message: %w", sent)
	}
	return outcome, nil
}

func brokeOff(err error) error {
	return fmt.Errorf("local delivery helper broke off without an outcome, its log says why: %w", err)
}

// spoolError says that the message could not be read, so that its end must not
// be sent.
type spoolError struct{ err error }

func (s *spoolError) Error() string { return "read message: " + s.err.Error() }
func (s *spoolError) Unwrap() error { return s.err }

// sendMessage sends the message in chunks; the last, empty one says that it is
// complete.
func sendMessage(conn net.Conn, open func() (io.ReadCloser, error)) error {
	body, err := open()
	if err != nil {
		return &spoolError{err}
	}
	defer body.Close()
	out := bufio.NewWriterSize(conn, 64<<10)
	chunks := httputil.NewChunkedWriter(out)
	if _, err := io.Copy(chunks, spoolReader{body}); err != nil {
		return err
	}
	if err := chunks.Close(); err != nil {
		return err
	}
	return out.Flush()
}

// spoolReader tells errors of reading from those of sending.
type spoolReader struct{ r io.Reader }

func (s spoolReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		err = &spoolError{err}
	}
	return n, err
}
