package daemon

import (
	"context"
	"errors"
	"fmt"

	"postrider/internal/maildrop"
	"postrider/internal/submission"
	"postrider/queue"
)

// acceptDrop takes a message from the maildrop in. Who it is from, the file's
// owner says; what sendmail put into it is believed as much as any user's word.
func (d *daemon) acceptDrop(ctx context.Context, drop *maildrop.Drop) error {
	_, err := d.intake.Accept(ctx, &submission.Submission{
		Origin: queue.Origin{Via: queue.ViaMaildrop, UID: drop.UID},
		Envelope: queue.Envelope{
			ReversePath: drop.Sender, EnvID: drop.EnvID, Ret: drop.Ret, Body: drop.Body, SMTPUTF8: drop.SMTPUTF8,
		},
		Recipients: drop.Recipients, SubmissionID: drop.SID, Body: drop,
	})
	var refused *submission.Error
	if errors.As(err, &refused) && !refused.Temporary() {
		return fmt.Errorf("%w: %w", maildrop.ErrRefused, err)
	}
	return err
}
