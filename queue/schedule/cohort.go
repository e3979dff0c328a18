package schedule

// cohort is the feedback that sets a site's concurrency. Verdicts are counted in
// cohorts of as many as attempts are allowed at once. A cohort of successes
// allows one more; the first failure of a cohort takes one away, before an
// overloaded host has to refuse a whole cohort; a cohort of nothing but failures
// means that the site is dead.
type cohort struct {
	limit     int // attempts allowed at once
	size      int // verdicts in this cohort
	good, bad int
	streak    int // consecutive failures
	deadly    int // the streak that means death, fixed when it begins
}

// Where concurrency begins, and how few failures may mean death.
const (
	startLimit  = 5
	probeLimit  = 1
	minFailures = 3
)

// restart begins anew with a limit.
func (c *cohort) restart(limit int) {
	*c = cohort{limit: limit, size: limit}
}

// success counts a good verdict; highest is what the limit may grow to.
func (c *cohort) success(highest int) {
	c.streak = 0
	c.good++
	if c.good == c.size && c.limit < highest {
		c.limit++
	}
	c.turnover()
}

// failure counts a bad verdict and reports whether the site is dead.
func (c *cohort) failure() (dead bool) {
	if c.streak == 0 {
		c.deadly = max(minFailures, c.size)
	}
	c.streak++
	c.bad++
	if c.bad == 1 && c.limit > 1 {
		c.limit--
	}
	c.turnover()
	return c.streak >= c.deadly
}

// turnover begins the next cohort when this one is complete.
func (c *cohort) turnover() {
	if c.good+c.bad >= c.size {
		c.size, c.good, c.bad = c.limit, 0, 0
	}
}
