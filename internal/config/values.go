package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// UnmarshalText reads "5d", "1h30m", "0".
func (d *Duration) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	var total time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return badDuration(s)
		}
		total, s = time.Duration(n*24*float64(time.Hour)), rest
	}
	if s != "" && s != "0" {
		rest, err := time.ParseDuration(s)
		if err != nil || rest < 0 {
			return badDuration(string(b))
		}
		total += rest
	}
	if len(b) == 0 {
		return badDuration("")
	}
	*d = Duration(total)
	return nil
}

func badDuration(s string) error {
	return fmt.Errorf("%q is not a time span: write it as 90s, 5m, 4h or 5d", s)
}

// String gives the shortest form UnmarshalText reads.
func (d Duration) String() string {
	t := time.Duration(d)
	if t == 0 {
		return "0"
	}
	var b strings.Builder
	if days := t / (24 * time.Hour); days > 0 {
		fmt.Fprintf(&b, "%dd", days)
		t -= days * 24 * time.Hour
	}
	for _, u := range []struct {
		span time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "m"}} {
		if n := t / u.span; n > 0 {
			fmt.Fprintf(&b, "%d%s", n, u.name)
			t -= n * u.span
		}
	}
	if t > 0 {
		b.WriteString(t.String())
	}
	return b.String()
}

// MarshalText writes what UnmarshalText reads.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

var sizeUnits = [...]struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1}, {"", 1},
}

// UnmarshalText reads "50MiB", "10MB", "4096".
func (z *Size) UnmarshalText(b []byte) error {
	s := strings.TrimSpace(string(b))
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<62)/u.factor {
			break
		}
		*z = Size(n * u.factor)
		return nil
	}
	return fmt.Errorf("%q is not a size: write it as 50MiB, 10MB or a number of bytes", s)
}

// String gives the shortest exact form.
func (z Size) String() string {
	for _, u := range []struct {
		suffix string
		factor Size
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if z >= u.factor && z%u.factor == 0 {
			return strconv.FormatInt(int64(z/u.factor), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(z), 10)
}

// MarshalText writes what UnmarshalText reads.
func (z Size) MarshalText() ([]byte, error) { return []byte(z.String()), nil }
