package schedule

import (
	"cmp"
	"slices"
	"time"

	"postrider/queue"
)

// Snapshot is what the scheduler is doing at one moment.
type Snapshot struct {
	Draining       bool
	Connections    int // attempts under way, local ones apart
	MaxConnections int
	Local          int // local attempts under way
	Leases         int // waiting in the window
	Window         int
	Destinations   int            // in memory
	Sites          []SiteState    // by name
	Attempts       []AttemptState // oldest first
	Totals         Totals
}

// SiteState is the state of one site.
type SiteState struct {
	Name         string
	Destinations int // in memory
	Limit        int // attempts allowed at once
	Active       int
	Waiting      int // leases waiting
	// Failures counts the suspensions since a host last answered.
	Failures int
	// Suspended is the end of the suspension; zero if there is none.
	Suspended time.Time
	Reason    string
}

// AttemptState is one attempt under way.
type AttemptState struct {
	Key         queue.DeliveryKey
	Destination string
	Site        string
	Started     time.Time
	// InTransfer says that the other side may already have the message.
	InTransfer bool
}

// Totals count since New: ended attempts, and outcomes of recipients. Expanded are
// those that others took the place of.
type Totals struct {
	Attempts, Delivered, Deferred, Failed, Expired, Expanded uint64
}

// Snapshot reports what the scheduler is doing. It copies and may be called often.
func (s *Scheduler) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := Snapshot{
		Draining: s.draining, Connections: s.active, MaxConnections: s.limits.MaxConnections,
		Leases: s.waiting, Window: s.opt.Window, Destinations: len(s.destinations), Totals: s.totals,
	}
	now := time.Now()
	for _, st := range s.sites {
		if st.local {
			snap.Local = st.active
		}
		snap.Sites = append(snap.Sites, st.state(now))
	}
	for a := range s.attempts {
		snap.Attempts = append(snap.Attempts, AttemptState{
			Key: a.lease.Key, Destination: a.dest.Name, Site: a.site.name,
			Started: a.started, InTransfer: a.inTransfer(),
		})
	}
	slices.SortFunc(snap.Sites, func(a, b SiteState) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortFunc(snap.Attempts, func(a, b AttemptState) int { return a.Started.Compare(b.Started) })
	return snap
}

func (st *site) state(now time.Time) SiteState {
	state := SiteState{
		Name: st.name, Destinations: len(st.destinations), Limit: st.limit, Active: st.active,
		Waiting: st.waiting, Failures: st.failures,
	}
	if st.suspended(now) {
		state.Suspended, state.Reason = st.until, st.reason
	}
	return state
}
