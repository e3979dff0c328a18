package main

import (
	"fmt"
	"time"
)

// queueFigures are what measureQueue collects, by system.
type queueFigures struct {
	drain, cpu, list, json, disk                  series
	idle, idleRSS, full, fullHeap, many, manyHeap series
}

// measureQueue fills queues while mail is held, looks at them, and lets the mail go.
func (b *bench) measureQueue() error {
	f := &queueFigures{series{}, series{}, series{}, series{}, series{}, series{}, series{}, series{}, series{}, series{}, series{}}
	n := b.pick(10_000, 2000)
	for round := range b.pick(2, 1) {
		for _, s := range b.servers() {
			if err := b.queueRound(s, n, round, f); err != nil {
				return fmt.Errorf("%s: %w", s.name(), err)
			}
		}
	}
	if b.many > 0 && b.wants(8) {
		if err := b.manyQueued(b.many, f); err != nil {
			return err
		}
	}
	b.printQueue(n, f)
	return nil
}

func (b *bench) queueRound(s server, n, round int, f *queueFigures) error {
	if s == server(b.ours) {
		if err := b.renewIdle(f); err != nil {
			return err
		}
	}
	if err := s.hold(); err != nil {
		return err
	}
	before, err := diskUse(s.spool())
	if err != nil {
		return err
	}
	if err := b.fill(s, n); err != nil {
		return err
	}
	after, err := diskUse(s.spool())
	if err != nil {
		return err
	}
	f.disk.add(s.name(), (after-before)/float64(n))
	if err := b.look(s, f); err != nil {
		return err
	}
	return b.drain(s, n, f)
}

// renewIdle has ours start anew, and looks at it before it has done anything.
func (b *bench) renewIdle(f *queueFigures) error {
	if err := b.ours.renew(); err != nil {
		return err
	}
	time.Sleep(time.Second)
	m, err := memoryOf(b.ours.pids()...)
	f.idle.add(b.ours.name(), m.pss/1024)
	f.idleRSS.add(b.ours.name(), m.rss/1024)
	return err
}

// fill queues n messages over kept connections.
func (b *bench) fill(s server, n int) error {
	began, ended, err := b.load(s.smtp(), n, true)
	if err != nil {
		return err
	}
	b.note("%s: %d queued, %.0f/s", s.name(), n, perSecond(n, ended.Sub(began)))
	time.Sleep(500 * time.Millisecond) // what follows an acceptance is not the queue
	return nil
}

// look lists what is queued, and at the memory it takes.
func (b *bench) look(s server, f *queueFigures) error {
	m, err := memoryOf(s.pids()...)
	if err != nil {
		return err
	}
	f.full.add(s.name(), m.pss/1024)
	f.fullHeap.add(s.name(), m.anonymous/1024)
	for range 3 {
		if err := b.timed(s.mailq(), f.list, s.name()); err != nil {
			return err
		}
		if s == server(b.ours) {
			if err := b.timed(b.ours.program("postrider", "queue", "list", "--json"), f.json, s.name()); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) timed(c caller, values series, name string) error {
	began := time.Now()
	_, err := c.output(b.ctx)
	values.add(name, milliseconds(time.Since(began)))
	return err
}

// drain lets the mail go.
func (b *bench) drain(s server, n int, f *queueFigures) error {
	if s == server(b.ours) {
		if err := b.ours.awaitWarm(); err != nil {
			return err
		}
	}
	if err := s.ready(); err != nil {
		return err
	}
	if err := b.sink.reset(); err != nil {
		return err
	}
	used := cpuOf(s.pids()...)
	began := time.Now()
	if err := s.flush(); err != nil {
		return err
	}
	last, err := b.sink.wait(n, patience)
	if err != nil {
		return err
	}
	cpu := milliseconds(cpuOf(s.pids()...)-used) / float64(n)
	f.drain.add(s.name(), perSecond(n, last.at.Sub(began)))
	f.cpu.add(s.name(), cpu)
	b.note("%s: drained %d, %.0f/s in %d sessions, at most %d at once; CPU %.2f ms each", s.name(), n,
		perSecond(n, last.at.Sub(began)), last.sessions, last.most, cpu)
	return nil
}

// manyQueued looks at the memory of a daemon with very much mail.
func (b *bench) manyQueued(n int, f *queueFigures) error {
	if err := b.ours.renew(); err != nil {
		return err
	}
	if err := b.ours.hold(); err != nil {
		return err
	}
	if err := b.fill(b.ours, n); err != nil {
		return err
	}
	time.Sleep(2 * time.Second)
	m, err := memoryOf(b.ours.pids()...)
	f.many.add(b.ours.name(), m.pss/1024)
	f.manyHeap.add(b.ours.name(), m.anonymous/1024)
	return err
}

func (b *bench) printQueue(n int, f *queueFigures) {
	ours := b.ours.name()
	t := b.table
	if b.wants(4) {
		t.row(4, fmt.Sprintf("drain of %d, msg/s", n), f.drain.median(ours), f.drain.versus("postfix", "postfix", above("≥ 8×", 8))...)
		t.row(4, "  daemon's CPU a message ms", f.cpu.median(ours), f.cpu.versus("postfix", "postfix", goal{})...)
	}
	if b.wants(5) {
		t.row(5, fmt.Sprintf("mailq of %d, ms", n), f.list.median(ours), f.list.versus("postfix", "postfix", below("≤ 1/10", 0.1))...)
		t.row(5, "  queue list --json, ms", f.json.median(ours))
	}
	if b.wants(6) {
		others := append([]against{{goal: atMost("≤ 4 KB", 4096)}}, f.disk.versus("postfix", "postfix", goal{})...)
		t.row(6, "disk a queued 2 KiB, bytes", f.disk.median(ours), others...)
	}
	if b.wants(8) {
		t.row(8, "daemon idle: PSS MiB", f.idle.median(ours), against{goal: atMost("≤ 16 MiB", 16)})
		t.row(8, "  RSS MiB", f.idleRSS.median(ours))
		t.row(8, fmt.Sprintf("  %d queued: PSS MiB", n), f.full.median(ours), f.full.versus("postfix", "postfix", goal{})...)
		t.row(8, "    without mapped files MiB", f.fullHeap.median(ours), f.fullHeap.versus("postfix", "postfix", goal{})...)
	}
	if len(f.many) > 0 {
		t.row(8, fmt.Sprintf("  %d queued: PSS MiB", b.many), f.many.median(ours))
		t.row(8, "    without mapped files MiB", f.manyHeap.median(ours))
	}
}
