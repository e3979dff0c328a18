package main

import (
	"fmt"
	"time"
)

// relayFigures are messages a second taken in, and through to the sink, and the
// processor time of the daemons for one, by system.
type relayFigures struct{ in, through, cpu series }

// straight stands for the load generator with the sink and no system between.
const straight = "straight"

// measureRelay has mail go in over SMTP and out over SMTP, as a share of what the
// load generator does straight into the sink.
func (b *bench) measureRelay() error {
	if err := b.ours.awaitWarm(); err != nil {
		return err
	}
	if err := b.relay("SMTP, a connection each, /s", false); err != nil {
		return err
	}
	return b.relay("SMTP, kept connections, /s", true)
}

func (b *bench) relay(what string, kept bool) error {
	f := &relayFigures{series{}, series{}, series{}}
	for range b.pick(3, 2) {
		if err := b.relayed(straight, b.sink.address, b.pick(10_000, 3000), kept, nil, f); err != nil {
			return err
		}
		for _, s := range b.servers() {
			n := b.pick(1500, 300)
			if s == server(b.ours) {
				n = b.pick(6000, 2000)
			}
			if err := b.relayed(s.name(), s.smtp(), n, kept, s.pids, f); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
		}
	}
	ours := b.ours.name()
	// A client that keeps its connections leaves the sink less to do than us.
	want := above("≥ 50 %", 0.5)
	if kept {
		want = above("≥ 40 %", 0.4)
	}
	others := f.through.versus("straight", straight, want)
	others = append(others, f.through.versus("postfix", "postfix", goal{})...)
	b.table.row(3, what, f.through.median(ours), others...)
	b.table.row(3, "  accepted /s", f.in.median(ours), f.in.versus("postfix", "postfix", goal{})...)
	b.table.row(3, "  daemon's CPU a message ms", f.cpu.median(ours), f.cpu.versus("postfix", "postfix", goal{})...)
	return nil
}

// relayed sends n messages to an address and waits until they are at the sink.
func (b *bench) relayed(name, to string, n int, kept bool, pids func() []int, f *relayFigures) error {
	if err := b.sink.reset(); err != nil {
		return err
	}
	used := cpuOfServer(pids)
	began, ended, err := b.load(to, n, kept)
	if err != nil {
		return err
	}
	last, err := b.sink.wait(n, patience)
	if err != nil {
		return err
	}
	used = cpuOfServer(pids) - used
	f.in.add(name, perSecond(n, ended.Sub(began)))
	f.through.add(name, perSecond(n, last.at.Sub(began)))
	f.cpu.add(name, milliseconds(used)/float64(n))
	b.note("%s, kept %v: accepted %.0f/s, at the sink %.0f/s in %d sessions, at most %d at once; CPU %.2f ms each", name, kept,
		perSecond(n, ended.Sub(began)), perSecond(n, last.at.Sub(began)), last.sessions, last.most, milliseconds(used)/float64(n))
	return nil
}

func cpuOfServer(pids func() []int) time.Duration {
	if pids == nil {
		return 0
	}
	return cpuOf(pids()...)
}
