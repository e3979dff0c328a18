package main

import (
	"math"
	"slices"
)

// series are the values of several runs, by the name of what was measured.
type series map[string][]float64

func (s series) add(name string, values ...float64) { s[name] = append(s[name], values...) }

// median gives the median of what name has; NaN if that is nothing.
func (s series) median(name string) float64 { return percentile(s[name], 50) }

// versus compares with name, if anything was measured of it.
func (s series) versus(label, name string, g goal) []against {
	if len(s[name]) == 0 {
		return nil
	}
	return []against{{label, s.median(name), g}}
}

// percentile is the smallest value that p percent are not above.
func percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(p/100*float64(len(sorted))))-1)]
}
