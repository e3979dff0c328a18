package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// patience is how long mail may take to arrive before a measurement is given up.
const patience = 90 * time.Second

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

// measureDisk finds what the disk can do.
func (b *bench) measureDisk() error {
	rates := series{}
	for range b.pick(5, 3) {
		for _, writers := range []int{1, clients} {
			rate, err := syncRate(b.temp, b.pick(1000, 300)*writers/min(writers, 4), writers)
			if err != nil {
				return err
			}
			b.note("disk, %d writers: %.0f/s", writers, rate)
			rates.add(fmt.Sprint(writers), rate)
		}
	}
	b.table.limit(10, "4 KiB + fdatasync /s", rates.median("1"))
	b.table.limit(10, fmt.Sprint("the same, ", clients, " writers /s"), rates.median(fmt.Sprint(clients)))
	return nil
}

// measureCalls times single calls while the systems deliver.
func (b *bench) measureCalls() error {
	p50, p95, cpu, rss := series{}, series{}, series{}, series{}
	const rounds = 4
	n := b.pick(200, 60) / rounds
	for range rounds {
		for _, s := range b.systems() {
			r, err := b.calls(s.sendmail(), n)
			if err != nil {
				return err
			}
			if err := b.arrive(n); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			b.note("%s: call p50 %.2f ms, p95 %.2f ms, CPU %.2f ms", s.name(), r.p50, r.p95, r.cpu)
			p50.add(s.name(), r.p50)
			p95.add(s.name(), r.p95)
			cpu.add(s.name(), r.cpu)
		}
	}
	for _, s := range b.systems() {
		peak, err := b.peakOfCall(s.sendmail(), b.small, 10)
		if err != nil {
			return err
		}
		rss.add(s.name(), peak/1024)
	}
	b.versusPeers(1, "sendmail -i -t, p50 ms", p50, map[string]goal{"dma": below("ahead", 1), "postfix": below("≤ 1/3", 1.0/3)})
	b.versusPeers(1, "  p95 ms", p95, nil)
	b.versusPeers(1, "  CPU of a call ms", cpu, map[string]goal{"postfix": below("≤ 1/3", 1.0/3)})
	b.versusPeers(1, "  its peak RSS MiB", rss, nil)
	return b.arrive(10 * len(b.systems()))
}

// versusPeers prints our median against that of each peer.
func (b *bench) versusPeers(n int, what string, values series, goals map[string]goal) {
	var others []against
	for _, p := range b.peers {
		others = append(others, values.versus(p.name(), p.name(), goals[p.name()])...)
	}
	b.table.row(n, what, values.median(b.ours.name()), others...)
}

// callsResult is what a row of calls gave, in milliseconds.
type callsResult struct{ p50, p95, cpu float64 }

// calls makes n calls one after the other.
func (b *bench) calls(c caller, n int) (r callsResult, err error) {
	if err := b.sink.reset(); err != nil {
		return r, err
	}
	var walls []float64
	for range n {
		one, err := c.call(b.ctx, b.small)
		if err != nil {
			return r, err
		}
		walls = append(walls, milliseconds(one.wall))
		r.cpu += milliseconds(one.cpu) / float64(n)
	}
	r.p50, r.p95 = percentile(walls, 50), percentile(walls, 95)
	return r, nil
}

// arrive waits until n messages are at the sink and begins to count anew.
func (b *bench) arrive(n int) error {
	if _, err := b.sink.wait(n, patience); err != nil {
		return err
	}
	return b.sink.reset()
}

// peakOfCall is the most memory that any of n calls held, in KiB.
func (b *bench) peakOfCall(c caller, file string, n int) (peak float64, err error) {
	for range n {
		_, err := c.watched(b.ctx, file, func(pid int) { peak = max(peak, watchPeak(pid)) })
		if err != nil {
			return 0, err
		}
	}
	return peak, nil
}

// measureCallsDown times calls that find no daemon, in a directory of its own.
func (b *bench) measureCallsDown() error {
	down, err := newPostrider(b.ctx, b.bin, filepath.Join(b.temp, "down"), b.sink)
	if err != nil {
		return err
	}
	if err := down.start(); err != nil { // makes the spool
		return err
	}
	if err := down.stop(); err != nil {
		return err
	}
	owner := down.sendmail()
	owner.unprivileged = false
	ways := []struct {
		name string
		by   caller
	}{{"down: direct, owner, p50 ms", owner}}
	if os.Geteuid() == 0 {
		ways = append(ways, struct {
			name string
			by   caller
		}{"down: maildrop, user, p50 ms", down.sendmail()})
	}
	values := series{}
	for range 4 {
		for _, way := range ways {
			r, err := b.calls(way.by, b.pick(200, 60)/4)
			if err != nil {
				return err
			}
			values.add(way.name, r.p50)
		}
	}
	for _, way := range ways {
		b.table.row(1, way.name, values.median(way.name))
	}
	return os.RemoveAll(down.dir)
}

// measureParallel has many programs call at once.
func (b *bench) measureParallel() error {
	accepted, delivered := series{}, series{}
	n := b.pick(300, 80)
	for range b.pick(3, 2) {
		for _, s := range b.systems() {
			if err := b.sink.reset(); err != nil {
				return err
			}
			began, ended, err := s.sendmail().parallel(b.ctx, b.small, n, clients)
			if err != nil {
				return err
			}
			last, err := b.sink.wait(n, patience)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			accepted.add(s.name(), perSecond(n, ended.Sub(began)))
			delivered.add(s.name(), perSecond(n, last.at.Sub(began)))
			b.note("%s: %d calls at once: %.0f/s, at the sink %.0f/s", s.name(), clients, perSecond(n, ended.Sub(began)), perSecond(n, last.at.Sub(began)))
		}
	}
	b.versusPeers(2, fmt.Sprint(clients, " parallel calls, msg/s"), accepted, map[string]goal{"dma": above("≥ 2×", 2), "postfix": above("≥ 5×", 5)})
	b.versusPeers(2, "  until at the sink, msg/s", delivered, map[string]goal{"dma": above("≥ 2×", 2), "postfix": above("≥ 5×", 5)})
	return nil
}

// measureLatency times a call until its message is at the sink; nothing else goes on.
func (b *bench) measureLatency() error {
	times := series{}
	n := b.pick(50, 15)
	for range n {
		for _, s := range b.systems() {
			if err := b.sink.reset(); err != nil {
				return err
			}
			one, err := s.sendmail().call(b.ctx, b.small)
			if err != nil {
				return err
			}
			last, err := b.sink.wait(1, patience)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
			times.add(s.name(), milliseconds(last.at.Sub(one.began)))
			time.Sleep(30 * time.Millisecond) // until the system is idle again
		}
	}
	ours := b.ours.name()
	others := []against{{goal: atMost("≤ 8 ms", 8)}}
	for _, p := range b.peers {
		others = append(others, times.versus(p.name(), p.name(), goal{})...)
	}
	b.table.row(7, "call to sink, idle, p50 ms", times.median(ours), others...)
	b.table.row(7, "  p95 ms", percentile(times[ours], 95))
	return nil
}

// measureLarge sends one message of 25 MiB.
func (b *bench) measureLarge() error {
	called, arrived, program, daemon := series{}, series{}, series{}, series{}
	for range b.pick(3, 1) {
		for _, s := range b.systems() {
			if err := b.largeOnce(s, called, arrived); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
		}
	}
	for _, s := range b.systems() {
		if err := b.largePeaks(s, program, daemon); err != nil {
			return fmt.Errorf("%s: %w", s.name(), err)
		}
	}
	b.versusPeers(9, "25 MiB: the call ms", called, nil)
	b.versusPeers(9, "  at the sink ms", arrived, nil)
	b.versusPeers(9, "  peak RSS of the call MiB", program, nil)
	b.versusPeers(9, "  of the daemon (largest) MiB", daemon, nil)
	return nil
}

func (b *bench) largeOnce(s system, called, arrived series) error {
	if err := b.sink.reset(); err != nil {
		return err
	}
	one, err := s.sendmail().call(b.ctx, b.large)
	if err != nil {
		return err
	}
	last, err := b.sink.wait(1, patience)
	if err != nil {
		return err
	}
	called.add(s.name(), milliseconds(one.wall))
	arrived.add(s.name(), milliseconds(last.at.Sub(one.began)))
	return nil
}

// largePeaks measures memory in a run of its own, since the looking takes time.
func (b *bench) largePeaks(s system, program, daemon series) error {
	if err := b.sink.reset(); err != nil {
		return err
	}
	var before []int
	if v, ok := s.(server); ok {
		before = v.pids()
	}
	for _, pid := range before {
		if err := resetHighWater(pid); err != nil {
			return err
		}
	}
	peak, err := b.peakOfCall(s.sendmail(), b.large, 1)
	if err != nil {
		return err
	}
	if _, err := b.sink.wait(1, patience); err != nil {
		return err
	}
	program.add(s.name(), peak/1024)
	v, ok := s.(server)
	if !ok {
		return nil
	}
	largest := 0.0
	for _, pid := range v.pids() {
		if held, err := highWater(pid); err == nil {
			largest = max(largest, held/1024)
		}
	}
	daemon.add(s.name(), largest)
	return nil
}
