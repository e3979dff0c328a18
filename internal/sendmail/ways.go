package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"postrider/internal/maildrop"
	"postrider/internal/sysexits"
	"postrider/queue"
)

// handIn brings a message to where it is durable, by the first way that is open:
// the daemon, the spool itself, the maildrop. A way that is open but refuses the
// message has the last word.
func (r *run) handIn(ctx context.Context, p *parcel) error {
	err := r.bySocket(p)
	var closed *closedWay
	if !errors.As(err, &closed) {
		return err
	}
	r.tell("%v", closed)
	tried := []error{closed}
	ctx = r.watch(ctx) // from here on files are made
	for _, way := range []func(context.Context, *parcel) error{r.bySpool, r.byMaildrop} {
		err := way(ctx, p)
		switch {
		case !errors.As(err, &closed):
			return err
		case ctx.Err() != nil:
			return failf(sysexits.TempFail, "%v; nothing was queued", context.Cause(ctx)).because(context.Cause(ctx))
		case closed.err != nil:
			r.tell("%v", closed)
			tried = append(tried, closed)
		}
	}
	return noWay(tried)
}

// closedWay says that a way in is not open; without err, that it is not for us.
type closedWay struct {
	name string
	err  error
}

func (c *closedWay) Error() string { return fmt.Sprintf("%s: %v", c.name, c.err) }
func (c *closedWay) Unwrap() error { return c.err }

// noWay names all that was tried. Where permissions shut every way, trying again
// later does not help, and the caller must not be told so.
func noWay(tried []error) error {
	status := sysexits.NoPerm
	var words []string
	for _, err := range tried {
		words = append(words, err.Error())
		if !errors.Is(err, fs.ErrPermission) {
			status = sysexits.TempFail
		}
	}
	return failf(status, "message not queued: %s; start the daemon (postrider daemon), or have its "+
		"maildrop directory made with mode 3733", strings.Join(words, "; "))
}

// bySocket asks the daemon. A signal in the meantime ends the process, and with it
// the connection, upon which the daemon drops what it has not stored.
func (r *run) bySocket(p *parcel) error {
	path := r.cfg.SubmitSocket()
	c, err := dial(path, r.env.Patience)
	if err != nil {
		return &closedWay{"socket " + path, err}
	}
	defer c.Close()
	said, refused, err := c.submit(p)
	var answer *reply
	switch {
	case err == nil:
	case errors.As(err, &answer):
		return failf(answer.status(), "the daemon refused the message: %s", answer.Error()).because(answer)
	case errors.Is(err, errUnavailable):
		return &closedWay{"socket " + path, err}
	default:
		return failf(sysexits.TempFail, "%v", err)
	}
	said = strings.TrimPrefix(strings.TrimPrefix(said, "2.0.0 "), "Ok: ")
	r.note("socket "+path, said)
	return tellRefused(refused)
}

// tellRefused is the error of a message that was queued for some of its recipients.
func tellRefused(refused []refusal) error {
	if len(refused) == 0 {
		return nil
	}
	var words []string
	for _, f := range refused {
		words = append(words, fmt.Sprintf("%s: %s", f.recipient, f.reply.Error()))
	}
	return failf(refused[0].reply.status(), "queued, but not for these recipients: %s", strings.Join(words, "; "))
}

// byMaildrop leaves the message for a daemon to come.
func (r *run) byMaildrop(ctx context.Context, p *parcel) error {
	h := maildrop.Header{
		SID:        p.id,
		Raw:        p.raw,
		Sender:     p.envelope.ReversePath,
		Recipients: p.recipients,
		EnvID:      p.envelope.EnvID,
		Ret:        p.envelope.Ret,
		Body:       p.envelope.Body,
		SMTPUTF8:   p.envelope.SMTPUTF8,
	}
	// Who may not send learns it now, and not from a daemon to come.
	origin := queue.Origin{Via: queue.ViaMaildrop, UID: r.env.UID}
	if refused := refusedForGood(r.intake(nil).CheckMessage(origin, p.envelope.ReversePath, p.message.reader())); refused != nil {
		return refused
	}
	dir := r.cfg.Maildrop()
	if err := maildrop.Write(ctx, dir, h, p.message.reader()); err != nil {
		return &closedWay{"maildrop " + dir, err}
	}
	r.note("maildrop "+dir, "left for the daemon")
	if r.ownsSpool() {
		r.deliverOnDemand()
	}
	return nil
}
