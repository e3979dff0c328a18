package schedule

import "time"

// site is a set of hosts that some destinations share, with the limits they share.
type site struct {
	name  string
	local bool
	cohort

	active    int // attempts under way with the agent
	recording int // attempts that are over but for the record of their outcomes
	waiting   int // leases waiting
	claiming  int // destinations being claimed from

	// failures counts the suspensions since a host last answered. While there are
	// any, the site is tried with one attempt.
	failures int
	until    time.Time // end of the suspension
	reason   string
	answered bool // a host has answered since the site was loaded

	destinations map[*destination]struct{}
	ready        fifo[*destination] // those with leases waiting, in turn
	listed       bool               // stands in a ring of the dispatcher
	touched      time.Time          // when it last lost a destination
	marked       chan struct{}      // closed when the last mark is with the store; nil before any
}

func (st *site) suspended(now time.Time) bool { return now.Before(st.until) }

// probing reports whether the site has yet to show that it is back.
func (st *site) probing() bool { return st.failures > 0 }

// unused reports whether nothing of the site's mail is in hand.
func (st *site) unused() bool { return st.waiting+st.active+st.recording+st.claiming == 0 }

// untried reports whether the site may use the reserved connections: it has
// nothing under way and is not known to be in trouble.
func (st *site) untried() bool { return st.active+st.recording == 0 && !st.probing() }

// list puts d in turn if it has leases waiting.
func (st *site) list(d *destination) {
	if d.listed || d.backlog.len() == 0 {
		return
	}
	d.listed = true
	st.ready.push(d)
}

// turn gives the destination whose turn it is, nil if none has leases waiting.
func (st *site) turn() *destination {
	for {
		d, ok := st.ready.pop()
		if !ok {
			return nil
		}
		if d.site != st {
			continue // it has moved to another site and is listed there
		}
		d.listed = false
		if d.backlog.len() > 0 {
			return d
		}
	}
}

// names lists the destinations.
func (st *site) names() []string {
	names := make([]string, 0, len(st.destinations))
	for d := range st.destinations {
		names = append(names, d.Name)
	}
	return names
}

// backed reports whether deliveries wait that could be tried at once.
func (st *site) backed(now time.Time) bool {
	for d := range st.destinations {
		if d.backlog.len() > 0 || d.claimable(now) {
			return true
		}
	}
	return false
}
