package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// loader is the process that sends mail as fast as it is taken, each step of the
// dialogue after the answer to the one before.
type loader struct {
	to      string
	clients int
	kept    bool   // connections are used for more than one message
	message []byte // as sent, with its end
	left    atomic.Int64
}

// runLoad sends and prints when it began and ended, in nanoseconds of Unix time.
func runLoad(args []string, stdout io.Writer) error {
	l := &loader{}
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.StringVar(&l.to, "to", "", "`address` of the server")
	f.IntVar(&l.clients, "clients", 20, "`number` of connections at a time")
	f.BoolVar(&l.kept, "kept", false, "send more than one message over a connection")
	n := f.Int64("n", 1, "`number` of messages")
	size := f.Int("size", 2<<10, "`bytes` of a message")
	if err := f.Parse(args); err != nil {
		return err
	}
	l.message = append(bytes.ReplaceAll(sample(*size), []byte("\n"), []byte("\r\n")), ".\r\n"...)
	l.left.Store(*n)
	began := time.Now()
	if err := l.run(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(stdout, began.UnixNano(), time.Now().UnixNano())
	return err
}

func (l *loader) run() error {
	errs := make([]error, l.clients)
	var group sync.WaitGroup
	for i := range errs {
		group.Go(func() { errs[i] = l.client() })
	}
	group.Wait()
	return errors.Join(errs...)
}

// client sends its share.
func (l *loader) client() error {
	c := &loadClient{message: l.message}
	for l.left.Add(-1) >= 0 {
		if err := c.open(l.to); err != nil {
			return err
		}
		if err := c.send(); err != nil {
			return err
		}
		if l.kept {
			continue
		}
		if err := c.close(); err != nil {
			return err
		}
	}
	return c.close()
}

// loadClient is one of the connections.
type loadClient struct {
	conn    net.Conn
	message []byte
	buffer  [4 << 10]byte
}

// open connects, unless the last connection is still there.
func (c *loadClient) open(to string) (err error) {
	if c.conn != nil {
		return nil
	}
	if c.conn, err = net.Dial("tcp", to); err != nil {
		return err
	}
	if err := c.expect('2'); err != nil {
		return err
	}
	return c.step("EHLO client.x.test\r\n", '2')
}

func (c *loadClient) send() error {
	if err := c.step("MAIL FROM:<a@x.test>\r\n", '2'); err != nil {
		return err
	}
	if err := c.step("RCPT TO:<b@y.test>\r\n", '2'); err != nil {
		return err
	}
	if err := c.step("DATA\r\n", '3'); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.message); err != nil {
		return err
	}
	return c.expect('2')
}

func (c *loadClient) close() error {
	if c.conn == nil {
		return nil
	}
	defer func() { c.conn = nil }()
	err := c.step("QUIT\r\n", '2')
	c.conn.Close()
	return err
}

func (c *loadClient) step(command string, class byte) error {
	if _, err := io.WriteString(c.conn, command); err != nil {
		return err
	}
	return c.expect(class)
}

// expect reads one reply.
func (c *loadClient) expect(class byte) error {
	for n := 0; ; {
		if n == len(c.buffer) {
			return fmt.Errorf("reply is too long: %q", c.buffer[:60])
		}
		m, err := c.conn.Read(c.buffer[n:])
		if err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
		n += m
		reply := c.buffer[:n]
		if reply[n-1] != '\n' {
			continue
		}
		last := reply[bytes.LastIndexByte(reply[:n-1], '\n')+1:]
		switch {
		case len(last) > 3 && last[3] == '-':
			continue
		case reply[0] != class:
			return fmt.Errorf("refused: %q", reply)
		}
		return nil
	}
}
