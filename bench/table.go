package main

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// table prints the figures as they come, 80 columns wide.
type table struct{ out io.Writer }

// against is what a figure is compared with.
type against struct {
	name  string  // "" where the figure itself is the thing
	value float64 // in the figure's unit
	goal  goal
}

// goal is what the figure should reach; the zero goal is none.
type goal struct {
	text string
	met  func(figure, against float64) bool
}

// below and above are goals for the ratio of the figure to the other one.
func below(text string, ratio float64) goal {
	return goal{text, func(f, a float64) bool { return f <= ratio*a }}
}

func above(text string, ratio float64) goal {
	return goal{text, func(f, a float64) bool { return f >= ratio*a }}
}

// atMost is a goal for the figure itself.
func atMost(text string, limit float64) goal {
	return goal{text, func(f, _ float64) bool { return f <= limit }}
}

const layout = "%2s %-28s %9s  %-14s %6s  %-8s %s\n"

func (t *table) head(lines ...string) {
	for _, line := range lines {
		fmt.Fprintln(t.out, line)
	}
	fmt.Fprintln(t.out)
	fmt.Fprintf(t.out, layout, "", "figure, median", "postrider", "against", "ratio", "goal", "")
}

// row prints a figure of measurement n, a line for each comparison.
func (t *table) row(n int, what string, figure float64, others ...against) {
	if len(others) == 0 {
		others = []against{{}}
	}
	number, value := strconv.Itoa(n), short(figure)
	for _, a := range others {
		other, ratio, verdict := "", "", ""
		if a.name != "" {
			other, ratio = a.name+" "+short(a.value), short(figure/a.value)
		}
		if a.goal.met != nil {
			verdict = "NOT MET"
			if a.goal.met(figure, a.value) {
				verdict = "met"
			}
		}
		fmt.Fprintf(t.out, layout, number, what, value, other, ratio, a.goal.text, verdict)
		number, what, value = "", "", ""
	}
}

func (t *table) failure(numbers []int, err error) {
	fmt.Fprintf(t.out, "%v failed: %v\n", numbers, err)
}

func (t *table) foot(took time.Duration) {
	fmt.Fprintf(t.out, "\nThe run took %v.\n", took.Round(time.Second))
}

// short writes three digits or, for large numbers, all of them.
func short(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

// limit prints what the machine does, for reference.
func (t *table) limit(n int, what string, value float64) {
	fmt.Fprintf(t.out, layout, strconv.Itoa(n), "the disk: "+what, "", short(value), "", "", "")
}
