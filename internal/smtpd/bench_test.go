package smtpd_test

import (
	"context"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"postrider/queue"
)

// nullStore takes everything and keeps nothing.
type nullStore struct {
	queue.Store
	n atomic.Uint64
}

type nullDraft struct{ id queue.ID }

func (s *nullStore) Create(context.Context) (queue.Draft, error) {
	return nullDraft{queue.ID(s.n.Add(1))}, nil
}
func (d nullDraft) ID() queue.ID                { return d.id }
func (d nullDraft) Write(p []byte) (int, error) { return len(p), nil }
func (d nullDraft) Abort() error                { return nil }
func (d nullDraft) Commit(context.Context, *queue.Message, []string) (queue.ID, error) {
	return d.id, nil
}

// BenchmarkConnectionEach is the load of programs that connect for each message;
// client and server share the time.
func BenchmarkConnectionEach(b *testing.B) {
	text := "Subject: x\r\n\r\n" + strings.Repeat("A line of an ordinary message, not too long.\r\n", 40) + ".\r\n"
	steps := []string{"EHLO c.test\r\n", "MAIL FROM:<a@c.test> SIZE=2000\r\nRCPT TO:<b@local.test>\r\nDATA\r\n", text + "QUIT\r\n"}
	for _, network := range []string{"unix", "tcp"} {
		b.Run(network, func(b *testing.B) {
			f := start(b, func(s *settings) { s.wrap = func(s queue.Store) queue.Store { return &nullStore{Store: s} } })
			addr := map[string]string{"unix": f.socket, "tcp": f.tcp}[network]
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := exchange(network, addr, steps); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// exchange sends the steps, each after the reply to the one before, and reads to
// the end.
func exchange(network, addr string, steps []string) error {
	c, err := net.Dial(network, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	buf := make([]byte, 1024)
	for _, step := range steps {
		if _, err := c.Read(buf); err != nil {
			return err
		}
		if _, err := io.WriteString(c, step); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, c)
	return err
}
