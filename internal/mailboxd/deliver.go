package mailboxd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http/httputil"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"postrider/delivery/local"
)

// Deliver is the whole life of the process that has become the recipient: it is
// told on stdin whose mail it is, takes the message from the connection at file
// descriptor 3, delivers it, and answers with the outcome.
func Deliver(ctx context.Context, stdin io.Reader, logger *slog.Logger) error {
	// The user must not look into a process that may have a group the user lacks.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("keep debuggers out: %w", err)
	}
	var j job
	if err := readFrame(stdin, &j); err != nil {
		return fmt.Errorf("read what to deliver: %w", err)
	}
	if uid := os.Getuid(); uid != j.Owner.UID || uid != os.Geteuid() {
		return fmt.Errorf("uid is %d, not that of %s (%d)", uid, j.Owner.Name, j.Owner.UID)
	}
	conn, err := unixConn(os.NewFile(3, "connection"))
	if err != nil {
		return fmt.Errorf("take over connection: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(deliveryTime)); err != nil {
		return err
	}
	mailboxes, err := local.New(local.Options{
		Template: j.Settings.Template, Hostname: j.Settings.Hostname, Logger: logger,
		Lookup: func(string) (*local.User, error) { return &j.Owner, nil },
	})
	if err != nil {
		return err
	}
	message := &twice{source: httputil.NewChunkedReader(conn)}
	if err := writeAnswer(conn, mailboxes.Deliver(ctx, j.Envelope, message.open)); err != nil {
		return fmt.Errorf("tell the outcome: %w", err)
	}
	return nil
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
