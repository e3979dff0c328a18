package sendmail

import (
	"time"

	"postrider/internal/sysexits"
)

const (
	// readyPatience is how long a daemon may take to take mail: its spool may be
	// large, or its disk slow.
	readyPatience = time.Minute
	readyCheck    = 20 * time.Millisecond
)

// background starts the daemon (-bd) and comes back when it takes mail, which is
// what init scripts expect. One that runs already will do.
func (r *run) background() error {
	if r.isAnswering() {
		r.tell("the daemon runs already")
		return nil
	}
	wait, err := r.start("daemon")
	if err != nil {
		return err
	}
	ended := make(chan int, 1)
	go func() { ended <- wait() }()
	tick := time.NewTicker(readyCheck)
	defer tick.Stop()
	limit := time.NewTimer(readyPatience)
	defer limit.Stop()
	for {
		select {
		case status := <-ended:
			if status <= sysexits.OK {
				status = sysexits.OSErr
			}
			return failf(status, `the daemon did not start; run "postrider daemon" to see why`)
		case <-limit.C:
			return failf(sysexits.TempFail, "the daemon was started but does not take mail yet")
		case <-tick.C:
			if r.isAnswering() {
				r.tell("the daemon takes mail at %s", r.cfg.SubmitSocket())
				return nil
			}
		}
	}
}

// isAnswering reports whether a daemon greets on the submission socket.
func (r *run) isAnswering() bool {
	c, err := dial(r.cfg.SubmitSocket(), r.env.Patience)
	if err != nil {
		return false
	}
	defer c.Close()
	c.limitReads(r.env.Patience.Greet)
	_, err = c.expect(2)
	return err == nil
}
