package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"

	"postrider/queue"
)

// ErrNoDaemon says that nobody answers on the control socket.
var ErrNoDaemon = errors.New("the daemon is not running")

// Client is Queue by way of a daemon's control socket.
type Client struct {
	path string
	http http.Client
}

// Dial connects to the socket at path. It fails with ErrNoDaemon if nobody
// listens there.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrNoDaemon, err)
	}
	conn.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return d.DialContext(ctx, "unix", path)
	}}
	return &Client{path: path, http: http.Client{Transport: transport}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// List implements Queue.
func (c *Client) List(ctx context.Context, f queue.Filter, format Format, w io.Writer) error {
	return c.stream(ctx, "list", request{Filter: f, Format: format}, w)
}

// Show implements Queue.
func (c *Client) Show(ctx context.Context, id queue.ID) (*Details, error) {
	d := new(Details)
	if err := c.call(ctx, "show", request{ID: id}, d); err != nil {
		return nil, err
	}
	return d, nil
}

// Cat implements Queue.
func (c *Client) Cat(ctx context.Context, id queue.ID, w io.Writer) error {
	return c.stream(ctx, "cat", request{ID: id}, w)
}

// Flush implements Queue.
func (c *Client) Flush(ctx context.Context, f queue.Filter, force bool) (out Flushed, err error) {
	err = c.call(ctx, "flush", request{Filter: f, Force: force}, &out)
	return out, err
}

// Act implements Queue.
func (c *Client) Act(ctx context.Context, o Order) (n Count, err error) {
	err = c.call(ctx, "act", o, &n)
	return n, err
}

// Suspend implements Queue.
func (c *Client) Suspend(ctx context.Context, ask Suspension) (out Suspended, err error) {
	err = c.call(ctx, "suspend", ask, &out)
	return out, err
}

// Stats implements Queue.
func (c *Client) Stats(ctx context.Context) (*Stats, error) {
	out := new(Stats)
	if err := c.call(ctx, "stats", request{}, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *Client) call(ctx context.Context, verb string, req, answer any) error {
	var buf bytes.Buffer
	if err := c.stream(ctx, verb, req, &buf); err != nil {
		return err
	}
	return json.Unmarshal(buf.Bytes(), answer)
}

func (c *Client) stream(ctx context.Context, verb string, req any, w io.Writer) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://postrider/v1/queue/"+verb, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("control socket %s: %w", c.path, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return readFailure(resp)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

func readFailure(resp *http.Response) error {
	var f failure
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&f); err != nil || f.Error == "" {
		return fmt.Errorf("the daemon answered %s", resp.Status)
	}
	if resp.StatusCode == http.StatusNotFound {
		return queue.ErrNotFound
	}
	if resp.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%s: %w", f.Error, fs.ErrPermission)
	}
	return errors.New(f.Error)
}
