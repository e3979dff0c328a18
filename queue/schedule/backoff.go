package schedule

import "time"

// Backoff gives the pauses between the attempts of one delivery: First after the
// first attempt, doubling up to Max (RFC 5321 §4.5.4.1).
type Backoff struct {
	First, Max time.Duration
}

// jitter is the part by which pauses vary up and down, so that what failed
// together does not come back together.
const jitter = 0.2

// Next gives the time of the next attempt after so many ended attempts, the last
// of which ended now. rnd yields numbers in [0,1).
func Next(b Backoff, attempts int, now time.Time, rnd func() float64) time.Time {
	return now.Add(vary(double(b.First, b.Max, attempts-1), rnd))
}

// Bounds of the suspension of a site.
const (
	suspendFirst = time.Minute
	suspendMax   = time.Hour
)

// suspension gives the length of a site's nth consecutive suspension, from 1.
func suspension(n int, rnd func() float64) time.Duration {
	return vary(double(suspendFirst, suspendMax, n-1), rnd)
}

// double gives first·2ⁿ, at most limit.
func double(first, limit time.Duration, n int) time.Duration {
	d := first
	for ; n > 0 && d < limit; n-- {
		d *= 2
	}
	return min(d, limit)
}

// vary spreads d by the jitter.
func vary(d time.Duration, rnd func() float64) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rnd()))
}
