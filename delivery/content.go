package delivery

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"postrider/internal/address"
	"postrider/internal/message"
	"postrider/queue"
)

// inMemory is the size up to which a message is read once for all hosts of an
// attempt; larger ones are streamed from the store each time.
const inMemory = 256 << 10

// content opens a message in the forms transports want.
type content struct {
	ctx     context.Context
	bodies  Messages
	message *queue.Message
	// rewrite changes the senders in the header of what leaves this host.
	rewrite func(address.Address) (address.Address, bool)
	// small is a small message as stored; wire are its outgoing forms.
	small []byte
	wire  [2][]byte
	// traits of a large one.
	traits *message.Traits
}

// form is a form in which a message goes out.
type form uint8

const (
	forHosts form = iota // senders rewritten
	forStore             // as it is, for a mail store of this host's
)

func newContent(ctx context.Context, a *Agent, w *queue.Work) *content {
	c := &content{ctx: ctx, bodies: a.Messages, message: w.Message, small: w.Body}
	if a.Masquerade != nil {
		c.rewrite = a.Masquerade.Rewrite
	}
	return c
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
// a host may refuse or misread. trace are lines of trace fields that go on top.
func (c *content) outgoing(f form, trace string) (io.ReadCloser, error) {
	body, err := c.open(f)
	if err != nil || trace == "" {
		return body, err
	}
	return joined{io.MultiReader(strings.NewReader(trace), body), body}, nil
}

// joined reads from a reader and closes what is behind it.
type joined struct {
	io.Reader
	io.Closer
}

func (c *content) open(f form) (io.ReadCloser, error) {
	if c.message.Size > inMemory {
		return c.stream(f)
	}
	if c.wire[f] == nil {
		if err := c.load(); err != nil {
			return nil, err
		}
		if err := c.prepare(f); err != nil {
			return nil, fmt.Errorf("prepare message %s: %w", c.message.ID, err)
		}
	}
	return io.NopCloser(bytes.NewReader(c.wire[f])), nil
}

// prepare makes the outgoing form of a small message.
func (c *content) prepare(f form) error {
	stored := c.small
	if c.rewrite != nil && f == forHosts {
		stored = message.MasqueradeBytes(stored, c.rewrite)
	}
	var ok bool
	if c.wire[f], ok = message.Plain(stored); ok {
		return nil
	}
	traits, err := message.Inspect(bytes.NewReader(stored))
	if err != nil {
		return err
	}
	c.wire[f], err = io.ReadAll(message.Outgoing(bytes.NewReader(stored), message.OutgoingOptions{Traits: traits}))
	return err
}

func (c *content) stream(f form) (io.ReadCloser, error) {
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
	var in io.Reader = body
	if c.rewrite != nil && f == forHosts {
		in = message.Masquerade(in, c.rewrite)
	}
	return joined{message.Outgoing(in, message.OutgoingOptions{Traits: *c.traits}), body}, nil
}

// hasEightBitHeader looks at the header as hosts get it.
func (c *content) hasEightBitHeader() (bool, error) {
	body, err := c.open(forHosts)
	if err != nil {
		return false, err
	}
	defer body.Close()
	r := bufio.NewReader(body)
	for goesOn := false; ; {
		line, err := r.ReadSlice('\n')
		for _, b := range line {
			if b >= utf8.RuneSelf {
				return true, nil
			}
		}
		full := errors.Is(err, bufio.ErrBufferFull)
		switch {
		case err == io.EOF, err == nil && !goesOn && string(line) == "\r\n":
			return false, nil
		case err != nil && !full:
			return false, err
		}
		goesOn = full
	}
}
