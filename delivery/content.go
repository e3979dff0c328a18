package delivery

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"postrider/internal/message"
	"postrider/queue"
)

// inMemory is the size up to which a message is read once for all hosts of an
// attempt; larger ones are streamed from the store each time.
const inMemory = 256 << 10

// content opens a message in the forms transports want.
type content struct {
	ctx     context.Context
	bodies  Bodies
	message *queue.Message
	// small and wire are the stored and the outgoing form of a small message.
	small, wire []byte
	// traits of a large one.
	traits *message.Traits
}

func newContent(ctx context.Context, bodies Bodies, w *queue.Work) *content {
	return &content{ctx: ctx, bodies: bodies, message: w.Message, small: w.Body}
}

// stored opens the message as it is in the queue, with LF line ends.
func (c *content) stored() (io.ReadCloser, error) {
	if c.message.Size > inMemory {
		return c.bodies.Body(c.ctx, c.message.ID)
	}
	if err := c.load(); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(c.small)), nil
}

func (c *content) load() error {
	if c.small != nil {
		return nil
	}
	body, err := c.bodies.Body(c.ctx, c.message.ID)
	if err != nil {
		return err
	}
	defer body.Close()
	small := make([]byte, c.message.Size)
	if _, err := io.ReadFull(body, small); err != nil {
		return fmt.Errorf("read message %s from the spool: %w", c.message.ID, err)
	}
	c.small = small
	return nil
}

// outgoing opens the message as SMTP takes it: CRLF line ends, nothing in it that
// a host may refuse or misread.
func (c *content) outgoing() (io.ReadCloser, error) {
	if c.message.Size > inMemory {
		return c.stream()
	}
	if c.wire == nil {
		if err := c.load(); err != nil {
			return nil, err
		}
		if err := c.prepare(); err != nil {
			return nil, fmt.Errorf("prepare message %s: %w", c.message.ID, err)
		}
	}
	return io.NopCloser(bytes.NewReader(c.wire)), nil
}

// prepare makes the outgoing form of a small message.
func (c *content) prepare() error {
	var ok bool
	if c.wire, ok = message.Plain(c.small); ok {
		return nil
	}
	traits, err := message.Inspect(bytes.NewReader(c.small))
	if err != nil {
		return err
	}
	c.wire, err = io.ReadAll(message.Outgoing(bytes.NewReader(c.small), message.OutgoingOptions{Traits: traits}))
	return err
}

func (c *content) stream() (io.ReadCloser, error) {
	if c.traits == nil {
		body, err := c.stored()
		if err != nil {
			return nil, err
		}
		traits, err := message.Inspect(body)
		body.Close()
		if err != nil {
			return nil, err
		}
		c.traits = &traits
	}
	body, err := c.stored()
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{message.Outgoing(body, message.OutgoingOptions{Traits: *c.traits}), body}, nil
}
