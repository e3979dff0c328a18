package schedule_test

import (
	"testing"
	"time"

	"postrider/queue/schedule"
)

func TestNext(t *testing.T) {
	standard := schedule.Backoff{First: 5 * time.Minute, Max: time.Hour}
	for _, test := range []struct {
		name     string
		backoff  schedule.Backoff
		attempts int
		random   float64
		want     time.Duration
	}{
		{"none ended", standard, 0, 0.5, 5 * time.Minute},
		{"first", standard, 1, 0.5, 5 * time.Minute},
		{"second", standard, 2, 0.5, 10 * time.Minute},
		{"fourth", standard, 4, 0.5, 40 * time.Minute},
		{"capped", standard, 5, 0.5, time.Hour},
		{"far", standard, 1 << 30, 0.5, time.Hour},
		{"low", standard, 1, 0, 4 * time.Minute},
		{"high", standard, 1, 1, 6 * time.Minute},
		{"high at the cap", standard, 9, 1, 72 * time.Minute},
		{"constant", schedule.Backoff{First: time.Second, Max: time.Second}, 7, 0.5, time.Second},
		{"first above max", schedule.Backoff{First: 2 * time.Hour, Max: time.Hour}, 1, 0.5, time.Hour},
		{"odd factor", schedule.Backoff{First: 7 * time.Second, Max: 20 * time.Second}, 2, 0.5, 14 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := time.Unix(1e9, 0)
			next := schedule.Next(test.backoff, test.attempts, now, func() float64 { return test.random })
			if got := next.Sub(now).Round(time.Millisecond); got != test.want {
				t.Errorf("pause of %v, want %v", got, test.want)
			}
		})
	}
}
