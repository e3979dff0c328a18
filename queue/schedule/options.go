package schedule

import (
	"log/slog"
	"math/rand/v2"
	"time"

	"postrider/queue"
)

// Options configure a Scheduler. Store, Agent and Reporter are required; zero
// values elsewhere take the defaults given.
type Options struct {
	Store    queue.Store
	Agent    Agent
	Reporter Reporter
	// Logger gets one line "delivery" for each outcome; none by default.
	Logger *slog.Logger
	// Owner names this scheduler in leases; "postrider".
	Owner string
	// MaxConnections bounds the attempts under way, local ones apart; 100. An
	// eighth is kept for sites that have none under way.
	MaxConnections int
	// MaxPerSite bounds the attempts under way for one site; 20.
	MaxPerSite int
	// MaxLocal bounds the local attempts under way; 20.
	MaxLocal int
	// Window bounds the leases in memory; 20,000. One destination has at most a
	// quarter.
	Window int
	// MaxDestinations bounds the destinations in memory; 50,000.
	MaxDestinations int
	// Retry gives the pauses between attempts; 5 minutes to 1 hour.
	Retry Backoff
	// Lease is how long a lease lasts without renewal; 5 minutes.
	Lease time.Duration
	// KeepHistory is how long ended messages are remembered; 7 days.
	KeepHistory time.Duration
	// DrainTimeout bounds the wait for attempts in transfer when Run ends; zero
	// waits for as long as they take.
	DrainTimeout time.Duration
	// Ramp is how many attempts may start at once when Run begins; the total
	// allowed doubles every second from there, and is unlimited after ten. 50;
	// negative for no ramp.
	Ramp int
	// Random yields numbers in [0,1) for jitter; math/rand/v2's by default. It is
	// called concurrently.
	Random func() float64
}

// Limits are what Reconfigure changes. Zero values take the defaults of Options.
type Limits struct {
	MaxConnections int
	MaxPerSite     int
	MaxLocal       int
	Retry          Backoff
}

// withDefaults fills in what was left zero.
func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Owner == "" {
		o.Owner = "postrider"
	}
	o.Window = orDefault(o.Window, 20_000)
	o.MaxDestinations = orDefault(o.MaxDestinations, 50_000)
	o.Lease = orDefault(o.Lease, 5*time.Minute)
	o.KeepHistory = orDefault(o.KeepHistory, 7*24*time.Hour)
	if o.Ramp == 0 {
		o.Ramp = 50
	}
	return o
}

// limits gives the changeable part.
func (o Options) limits() Limits {
	return Limits{MaxConnections: o.MaxConnections, MaxPerSite: o.MaxPerSite, MaxLocal: o.MaxLocal, Retry: o.Retry}.withDefaults()
}

func (l Limits) withDefaults() Limits {
	l.MaxConnections = orDefault(l.MaxConnections, 100)
	l.MaxPerSite = orDefault(l.MaxPerSite, 20)
	l.MaxLocal = orDefault(l.MaxLocal, 20)
	l.Retry.First = orDefault(l.Retry.First, 5*time.Minute)
	l.Retry.Max = max(orDefault(l.Retry.Max, time.Hour), l.Retry.First)
	return l
}

func orDefault[T int | time.Duration](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}
