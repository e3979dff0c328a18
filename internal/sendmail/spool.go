package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"syscall"
	"time"

	"postrider/internal/message"
	"postrider/internal/submission"
	"postrider/internal/sysexits"
	"postrider/queue"
	"postrider/queue/boltstore"
)

// lockPatience is how long we wait for another process to be done with the spool;
// the maildrop is as good.
const lockPatience = 100 * time.Millisecond

// ownsSpool reports whether the spool itself may be written: by its owner, and by
// root in its name. An ordinary user's process must never hold the spool's lock,
// for its owner could stop it there.
func (r *run) ownsSpool() bool {
	uid, _, err := ownerOf(r.cfg.Spool)
	return err == nil && (r.env.EUID == 0 || r.env.EUID == uid) && r.env.UID == r.env.EUID
}

func ownerOf(path string) (uid, gid int, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, 0, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, errors.ErrUnsupported
	}
	return int(st.Uid), int(st.Gid), nil
}

// bySpool queues the message without the help of a daemon.
func (r *run) bySpool(ctx context.Context, p *parcel) error {
	name := "spool " + r.cfg.Spool
	if !r.ownsSpool() {
		if _, err := os.Stat(r.cfg.Spool); errors.Is(err, fs.ErrNotExist) {
			return &closedWay{name, err}
		}
		return &closedWay{name: name}
	}
	var id queue.ID
	err := asOwner(r.cfg.Spool, func() (err error) {
		id, err = r.enqueue(ctx, p)
		return err
	})
	switch refused := refusedForGood(err); {
	case refused != nil:
		return refused
	case errors.Is(err, queue.ErrNoSpace):
		return failf(sysexits.TempFail, "message not queued: %v", err)
	case err != nil:
		return &closedWay{name, err}
	}
	r.note("spool "+r.cfg.Spool, "queued as "+id.String())
	r.deliverOnDemand()
	return nil
}

// refusedForGood is the error of a message that was refused for good; nil for any other.
func refusedForGood(err error) error {
	var refused *submission.Error
	if !errors.As(err, &refused) || refused.Temporary() {
		return nil
	}
	return failf(refused.Exit, "message refused: %s", refused.Text)
}

func (r *run) enqueue(ctx context.Context, p *parcel) (id queue.ID, err error) {
	store, err := boltstore.Open(r.cfg.QueueDB(), boltstore.Options{
		MaxMessage:  int64(r.cfg.Submission.MaxMessageSize),
		LockTimeout: lockPatience,
	})
	if err != nil {
		return 0, err
	}
	defer func() {
		// What has been accepted is durable, however the file is closed.
		if cerr := store.Close(); cerr != nil && err == nil {
			r.complain("warning: close spool: " + cerr.Error())
		}
	}()
	return r.intake(store).Accept(ctx, &submission.Submission{
		Origin: queue.Origin{Via: queue.ViaSpool, UID: r.env.UID, PID: os.Getpid(),
			Command: r.opts.logName()},
		Envelope:     p.envelope,
		Recipients:   p.recipients,
		SubmissionID: p.id,
		Body:         p.message.reader(),
	})
}

func (r *run) intake(store queue.Store) *submission.Intake {
	return submission.New(submission.Options{
		Store:          store,
		Router:         r.cfg.Routes(),
		Hostname:       r.cfg.Hostname,
		Origin:         r.cfg.Origin,
		LocalDomains:   r.cfg.LocalDomains,
		Senders:        r.cfg.Senders(),
		MaxSize:        int64(r.cfg.Submission.MaxMessageSize),
		Lifetime:       r.cfg.Retry.Lifetime.D(),
		BounceLifetime: r.cfg.Retry.BounceLifetime.D(),
		DelayNotice:    r.cfg.Retry.DelayNotice.D(),
		Now:            r.env.Now,
		Logger:         slog.New(slog.DiscardHandler),
		LookupUser: func(uid int) (login, fullName string) {
			a := callerAccount(r.env.Passwd, uid)
			return a.login, message.FullName(a.gecos, a.login)
		},
	})
}

// asOwner runs fn with the rights of the directory's owner. Root takes them on for
// the time: the files made belong to the daemon, and nothing that the daemon's
// user put there leads root astray.
func asOwner(dir string, fn func() error) (err error) {
	uid, gid, err := ownerOf(dir)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 || uid == 0 {
		return fn()
	}
	groups, err := syscall.Getgroups()
	if err != nil {
		return fmt.Errorf("become owner of %s: %w", dir, err)
	}
	defer func() {
		if back := setEffective(0, os.Getgid(), groups); back != nil {
			err = errors.Join(err, fmt.Errorf("become root again: %w", back))
		}
	}()
	if err := setEffective(uid, gid, []int{gid}); err != nil {
		return fmt.Errorf("become owner of %s: %w", dir, err)
	}
	return fn()
}

// setEffective sets the effective ids of all threads. Root's come back first and
// go last: the groups are only root's to set.
func setEffective(uid, gid int, groups []int) error {
	if uid == 0 {
		if err := syscall.Setresuid(-1, 0, -1); err != nil {
			return err
		}
	}
	if err := syscall.Setgroups(groups); err != nil {
		return err
	}
	if err := syscall.Setresgid(-1, gid, -1); err != nil {
		return err
	}
	return syscall.Setresuid(-1, uid, -1)
}

// deliverOnDemand starts a delivery run where no daemon is wanted. The message is
// safe without: what goes wrong is the next run's to mend.
func (r *run) deliverOnDemand() {
	if !r.cfg.OnDemand {
		return
	}
	if _, err := r.start("daemon", "--once"); err != nil {
		r.complain("warning: the message is queued, but no delivery run was started: " + err.Error())
	}
}
