package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Deliver puts one message where its recipient wants it, unless the user has a
// .forward. open yields the message from its start, header first, with LF line
// ends; it is called twice. On queue.Delivered the message is on stable storage,
// or a command took it.
func (m *Mailboxes) Deliver(ctx context.Context, e Envelope, open func() (io.ReadCloser, error)) Outcome {
	o, err := m.deliver(ctx, e, open)
	if err != nil {
		return outcomeOf(err)
	}
	return o
}

func (m *Mailboxes) deliver(ctx context.Context, e Envelope, open func() (io.ReadCloser, error)) (Outcome, error) {
	j, err := m.plan(e)
	if err != nil {
		return Outcome{}, err
	}
	if j.means == toNowhere {
		return delivered("discarded to " + j.path), nil
	}
	if err := checkLoop(e.To, open); err != nil {
		return Outcome{}, err
	}
	if text, err := m.readForward(j); err != nil || text != "" {
		return expanded(j.forward, text), err
	}
	if j.means != toMbox {
		if err := alone(j); err != nil {
			return Outcome{}, err
		}
	}
	message := func(w io.Writer, f format) error {
		body, err := open()
		if err != nil {
			return fmt.Errorf("open message: %w", err)
		}
		defer body.Close()
		return writeMessage(w, f, e, m.now(), contextReader{ctx, body})
	}
	switch j.means {
	case toCommand:
		return m.pipe(ctx, j, e, message)
	case toMaildir:
		return delivered("delivered to maildir " + j.path), m.store(j, message)
	case toFile:
		return delivered("delivered to file " + j.path), m.appendFile(ctx, j, message)
	}
	return delivered("delivered to " + j.path), m.appendMbox(ctx, j, message)
}

// messageWriter writes the message of a delivery, whole.
type messageWriter func(w io.Writer, f format) error

// appendMbox delivers to a user's mailbox of the kind mbox.
func (m *Mailboxes) appendMbox(ctx context.Context, j Job, message messageWriter) error {
	if err := m.guard(j.path, &j.Owner); err != nil {
		return err
	}
	err := m.deposit(ctx, spot{path: j.path, owner: &j.Owner}, message)
	if errors.Is(err, fs.ErrPermission) {
		return denied(j, err)
	}
	return err
}

// denied says what keeps us from a mailbox.
func denied(j Job, err error) error {
	u := j.Owner
	if os.Geteuid() != u.UID {
		return fmt.Errorf("%w; run local delivery as root, or let its user belong to group mail with the mail directory root:mail mode 2775 and mailboxes mode 0660", err)
	}
	fi, statErr := os.Lstat(j.path)
	switch {
	case statErr == nil && ownerOf(fi) != u.UID:
		return notOwned(j.path, fi, u)
	case statErr == nil && fi.Mode()&0o600 != 0o600:
		return temporary("4.2.0", fmt.Sprintf("mailbox %s has mode %#o: chmod u+rw", j.path, fi.Mode().Perm()))
	}
	return fmt.Errorf("%w; make the mail directory %s root:mail with mode 2775", err, filepath.Dir(j.path))
}

func notOwned(path string, fi fs.FileInfo, u User) error {
	return temporary("4.2.0", fmt.Sprintf("mailbox %s belongs to uid %d, not to %s (uid %d): chown it", path, ownerOf(fi), u.Name, u.UID))
}

// deposit locks a file of the kind mbox and appends the message to it.
func (m *Mailboxes) deposit(ctx context.Context, s spot, message messageWriter) error {
	leave, err := m.turns.Enter(ctx, s.path, Turn{Room: 1, Wait: m.lockTimeout, Stuck: min(StuckAfter, m.lockTimeout)})
	if err != nil {
		return temporary("4.2.0", fmt.Sprintf("mailbox %s: %v", s.path, err))
	}
	defer leave()
	box, err := m.acquire(ctx, s)
	if err != nil {
		return err
	}
	defer box.release(m.log)
	return box.append(m.log, func(w io.Writer) error { return message(w, formatMbox) })
}

// contextReader ends a long copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
