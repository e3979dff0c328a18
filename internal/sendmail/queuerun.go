package sendmail

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"postrider/internal/sysexits"
)

// queueRunCheck is the pause between looks at a queue run that is waited for. It
// doubles up to queueRunSlow.
const (
	queueRunCheck = 50 * time.Millisecond
	queueRunSlow  = 2 * time.Second
)

// flush has queued messages tried now: all, or those that a substring selects
// (-qI, -qR, -qS, with ! for all others). It is the daemon that tries; -qf, which
// elsewhere tries in the foreground, waits until it has.
func (r *run) flush() error {
	v := r.opts.queueRun
	flush := []string{"queue", "flush", "--quiet"}
	switch v {
	case "":
		return r.become(flush...)
	case "f":
		return r.flushAndWait(flush)
	}
	text, not := strings.CutPrefix(v, "!")
	if len(text) < 2 || queueFilter(text[0]) == "" {
		return failf(sysexits.Usage, "queue run -q%s is not offered; %s", v, usage)
	}
	flush = append(flush, queueFilter(text[0])+"="+text[1:])
	if not {
		flush = append(flush, "--not")
	}
	return r.become(flush...)
}

// queueFilter is postrider's option for a selecting form of -q; empty for others.
func queueFilter(form byte) string {
	switch form {
	case 'I':
		return "--id-contains"
	case 'R':
		return "--recipient-contains"
	case 'S':
		return "--sender-contains"
	}
	return ""
}

// isInterval tells a time span like 30m or 1h30m.
func isInterval(s string) bool {
	digits := false
	for i := range len(s) {
		switch {
		case s[i] >= '0' && s[i] <= '9':
			digits = true
		case !digits || !strings.ContainsRune("smhdw", rune(s[i])):
			return false
		}
	}
	return digits
}

// flushAndWait waits until whatever was in the queue has been tried.
func (r *run) flushAndWait(flush []string) error {
	start := r.env.Now()
	if _, err := r.capture(flush...); err != nil {
		return err
	}
	for pause := queueRunCheck; ; pause = min(2*pause, queueRunSlow) {
		list, err := r.capture("queue", "list", "--json")
		if err != nil {
			return err
		}
		if waits, err := hasDue(list, start, r.env.Now()); err != nil || !waits {
			return err
		}
		time.Sleep(pause)
	}
}

// hasDue looks in a listing for messages from before the start of the queue run
// that are still to be tried in it.
func hasDue(list []byte, start, now time.Time) (bool, error) {
	for dec := json.NewDecoder(bytes.NewReader(list)); ; {
		var m queuedMessage
		switch err := dec.Decode(&m); {
		case errors.Is(err, io.EOF):
			return false, nil
		case err != nil:
			return false, failf(sysexits.TempFail, "read the queue's listing: %v", err)
		}
		if m.Arrival.Before(start) && slices.ContainsFunc(m.Recipients, func(r queuedRecipient) bool { return r.isDue(now) }) {
			return true, nil
		}
	}
}

// queuedMessage is what matters here of "postrider queue list --json".
type queuedMessage struct {
	Arrival    time.Time         `json:"arrival"`
	Recipients []queuedRecipient `json:"recipients"`
}

type queuedRecipient struct {
	State       string     `json:"state"`
	NextAttempt *time.Time `json:"next_attempt"`
}

func (r *queuedRecipient) isDue(now time.Time) bool {
	return r.State == "active" || r.NextAttempt != nil && !r.NextAttempt.After(now)
}
