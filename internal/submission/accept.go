package submission

import (
	"context"
	"fmt"
	"log/slog"

	"postrider/queue"
)

// Accept takes a message in. On return without error it is durable, and the ID
// tells it from all others; it is an earlier one's if the same uid has handed in
// that SubmissionID before. Every error is an *Error, and leaves nothing behind.
func (in *Intake) Accept(ctx context.Context, s *Submission) (queue.ID, error) {
	path, rule, err := in.Sender(s.Origin, s.Envelope.ReversePath)
	if err != nil {
		return 0, err
	}
	rcpts, err := in.recipients(s)
	if err != nil {
		return 0, err
	}
	draft, err := in.o.Store.Create(ctx)
	if err != nil {
		return 0, storageError("begin message", err)
	}
	defer draft.Abort() // does nothing after a commit

	m := &queue.Message{
		Envelope:     s.Envelope,
		Recipients:   rcpts,
		Origin:       s.Origin,
		Arrival:      in.o.Now(),
		SubmissionID: s.SubmissionID,
	}
	m.Envelope.ReversePath = path

	tooManyHops, err := in.write(draft, s, m, rule)
	if err != nil {
		return 0, err
	}
	id, err := draft.Commit(ctx, m, in.destinations(m.Envelope.ReversePath, rcpts))
	if err != nil {
		return 0, storageError("commit message", err)
	}
	if id != draft.ID() {
		in.o.Logger.Info("handed in before", "id", id.String(), "uid", m.Origin.UID)
		return id, nil
	}
	in.log(ctx, m)
	if tooManyHops {
		in.turnBack(ctx, m)
	}
	return id, nil
}

// turnBack ends a message that is going round in circles. It came from a program
// that is not waiting for a reply, so its sender gets a report instead. Held, it
// cannot be tried in between.
func (in *Intake) turnBack(ctx context.Context, m *queue.Message) {
	text := fmt.Sprintf("too many hops: more than %d Received fields, this message is in a loop", in.o.MaxHops)
	outcomes := make([]queue.Outcome, len(m.Recipients))
	for i, r := range m.Recipients {
		outcomes[i] = queue.Outcome{Index: i, Result: queue.Failed, Status: "5.4.6", Reply: text,
			Owed: r.Notify.OnFailure() && !m.Envelope.ReversePath.IsNull()}
	}
	_, err := in.o.Store.Hold(ctx, text, m.ID)
	if err == nil {
		err = in.o.Store.Conclude(ctx, m.ID, in.o.Now(), text, outcomes)
	}
	if err != nil {
		// The message is accepted all the same; the hop count stops it on its way.
		in.o.Logger.Error("message in a loop could not be returned", "id", m.ID.String(), "error", err)
	}
}

// schedule sets the times at which something becomes due.
func (in *Intake) schedule(m *queue.Message, bulk bool) {
	m.Expires = m.Arrival.Add(in.o.Lifetime)
	if m.Envelope.ReversePath.IsNull() {
		m.Expires = m.Arrival.Add(in.o.BounceLifetime)
		return
	}
	if in.o.DelayNotice > 0 && !bulk {
		m.NoticeAt = m.Arrival.Add(in.o.DelayNotice)
	}
}

func (in *Intake) log(ctx context.Context, m *queue.Message) {
	in.o.Logger.LogAttrs(ctx, slog.LevelInfo, "accepted",
		slog.String("id", m.ID.String()),
		slog.String("from", m.Envelope.ReversePath.String()),
		slog.Int64("size", m.Size),
		slog.Int("nrcpt", len(m.Recipients)),
		slog.String("message_id", m.MessageID),
		slog.String("via", string(m.Origin.Via)),
		slog.Int("uid", m.Origin.UID),
		slog.String("command", m.Origin.Command),
		slog.String("login", m.Origin.User),
		slog.String("client", m.Origin.Client))
}
