package sendmail_test

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/sendmail"
)

// asRoot is an environment of root's with postrider installed.
func (h *host) asRoot(args ...string) sendmail.Env {
	h.withPostrider()
	env := h.env(args...)
	env.UID, env.EUID = 0, 0
	return env
}

// TestStartDaemon: -bd comes back when the daemon takes mail, and not before.
func TestStartDaemon(t *testing.T) {
	h := newHost(t, "")
	env := h.asRoot("-bd", "-q30m")
	var ready atomic.Bool
	h.onStart = func() { time.AfterFunc(50*time.Millisecond, func() { ready.Store(true); h.serve(&server{}) }) }
	if got := run(env); got != (result{}) || !ready.Load() {
		t.Errorf("%+v, ready %v", got, ready.Load())
	}
	if want := []execution{{[]string{"postrider", "daemon"}, true}}; !reflect.DeepEqual(h.programs, want) {
		t.Errorf("ran %+v, want %+v", h.programs, want)
	}
}

func TestDaemonRunsAlready(t *testing.T) {
	h := newHost(t, "")
	h.serve(&server{})
	if got := run(h.asRoot("-bd")); got != (result{}) || len(h.programs) > 0 {
		t.Errorf("%+v, ran %+v", got, h.programs)
	}
}

func TestDaemonDoesNotStart(t *testing.T) {
	for status, want := range map[int]int{78: 78, 0: 71, -1: 71} {
		h := newHost(t, "")
		env := h.asRoot("-bd")
		env.Start = func(string, []string, []string) (func() int, error) { return func() int { return status }, nil }
		run(env).want(t, want, "the daemon did not start")
	}
	h := newHost(t, "")
	env := h.asRoot("-bd")
	env.Start = func(string, []string, []string) (func() int, error) { return nil, errors.New("no memory") }
	run(env).want(t, 71, "no memory")
	h = newHost(t, "nonsense = 1\n")
	run(h.asRoot("-bd")).want(t, 78, h.config)
}

// TestQueueRunInForeground: -qf comes back when whatever was there has been tried.
func TestQueueRunInForeground(t *testing.T) {
	const item = `{"id":"1","arrival":%q,"recipients":[{"state":"delivered","next_attempt":null},{"state":%q,"next_attempt":%s}]}` + "\n"
	long := time.Now().Add(-time.Hour).Format(time.RFC3339)
	soon := time.Now().Add(time.Hour).Format(time.RFC3339)
	quoted := func(s string) string { return fmt.Sprintf("%q", s) }
	due := fmt.Sprintf(item, long, "deferred", quoted(long))
	listings := []string{
		due, due + fmt.Sprintf(item, soon, "queued", quoted(long)), // it was not tried yet
		fmt.Sprintf(item, long, "active", quoted(long)), // it is being tried
		fmt.Sprintf(item, long, "deferred", quoted(soon)) + fmt.Sprintf(item, long, "held", "null") + fmt.Sprintf(item, soon, "queued", quoted(long)),
	}
	h := newHost(t, "").withPostrider()
	env := h.env("-qf")
	var ran []string
	env.Capture = func(_ string, argv, _ []string) ([]byte, int, error) {
		ran = append(ran, strings.Join(argv, " "))
		if len(ran) == 1 {
			return nil, 0, nil
		}
		return []byte(listings[len(ran)-2]), 0, nil
	}
	if got := run(env); got != (result{}) {
		t.Errorf("%+v", got)
	}
	list := "postrider queue list --json"
	if want := []string{"postrider queue flush --quiet", list, list, list, list}; !reflect.DeepEqual(ran, want) {
		t.Errorf("ran %q", ran)
	}
}

func TestQueueRunFails(t *testing.T) {
	for name, tc := range map[string]struct {
		listing string
		status  int
		err     error
		want    int
		stderr  string
	}{
		"no daemon":      {"", 69, nil, 69, ""}, // postrider has said why
		"cannot be run":  {"", 0, os.ErrPermission, 71, "permission denied"},
		"not understood": {"?", 0, nil, 75, "read the queue's listing"},
	} {
		h := newHost(t, "").withPostrider()
		env := h.env("-qf")
		env.Capture = func(string, []string, []string) ([]byte, int, error) { return []byte(tc.listing), tc.status, tc.err }
		t.Run(name, func(t *testing.T) { run(env).want(t, tc.want, tc.stderr) })
	}
}
