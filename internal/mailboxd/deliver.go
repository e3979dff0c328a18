package mailboxd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http/httputil"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/delivery/local"
	"postrider/queue"
)

// job is what the process that has become a user is told on its standard input.
type job struct {
	Request  request
	Owner    local.User
	Settings Settings
	// Environment of commands beside their own variables.
	Environment []string
	// Limit bounds the time of all.
	Limit time.Duration
}

// Deliver is the whole life of the process that has become a user: it is told on
// stdin what to do, takes the message from the connection at file descriptor 3,
// delivers it, and answers with the outcome.
func Deliver(ctx context.Context, stdin io.Reader, logger *slog.Logger) error {
	// The user must not look into a process that may have a group the user lacks.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep debuggers out: %w", err)
	}
	unix.Umask(0o077)
	var j job
	if err := readFrame(stdin, &j, maxJob); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	if uid := os.Getuid(); uid != j.Owner.UID || uid != os.Geteuid() {
		return fmt.Errorf("uid is %d, not that of %s (%d)", uid, j.Owner.Name, j.Owner.UID)
	}
	conn, err := unixConn(os.NewFile(3, "connection"))
	if err != nil {
		return fmt.Errorf("take over connection: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(j.Limit)); err != nil {
		return err
	}
	options := j.Settings.Options()
	options.Logger, options.Environment = logger, j.Environment
	options.Lookup = func(string) (*local.User, error) { return &j.Owner, nil }
	mailboxes, err := local.New(options)
	if err != nil {
		return err
	}
	if err := writeAnswer(conn, j.do(ctx, mailboxes, conn)); err != nil {
		return fmt.Errorf("tell the outcome: %w", err)
	}
	return nil
}

// do does what was asked for.
func (j job) do(ctx context.Context, mailboxes *local.Mailboxes, conn net.Conn) local.Outcome {
	switch j.Request.Kind {
	case kindForward:
		return mailboxes.Forward(ctx, j.Request.User)
	case kindInclude:
		return mailboxes.Include(ctx, j.Request.User, j.Request.Path)
	}
	message := &twice{source: httputil.NewChunkedReader(conn)}
	o := mailboxes.Deliver(ctx, j.Request.Envelope, message.open)
	if o.Result == queue.Delivered {
		// What a command did not care to read: the client expects that all is taken.
		_, _ = io.Copy(io.Discard, message.source)
	}
	return o
}

// twice lets a stream be read two times, the first time in part: what was read
// then, the header, is kept.
type twice struct {
	source io.Reader
	kept   bytes.Buffer
	opened int
}

func (t *twice) open() (io.ReadCloser, error) {
	t.opened++
	switch t.opened {
	case 1:
		return io.NopCloser(io.TeeReader(t.source, &t.kept)), nil
	case 2:
		return io.NopCloser(io.MultiReader(&t.kept, t.source)), nil
	}
	return nil, errors.New("the message can be read twice only")
}
