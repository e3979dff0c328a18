package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// callerUID is the unprivileged user that calls sendmail when we are root.
const callerUID = 4242

// bench is one run: the systems under test and what they share.
type bench struct {
	*options
	ctx   context.Context
	self  string // our own program, for the other processes
	temp  string
	sink  *sink
	ours  *postrider
	peers []system
	table *table
	// Files with the messages: of 2 KiB and of 25 MiB.
	small, large string
}

// measurement makes the figures of the numbers.
type measurement struct {
	numbers []int
	run     func() error
}

// measurements are in the order in which they disturb each other least: the queues
// of many messages come last.
func (b *bench) measurements() []measurement {
	return []measurement{
		{[]int{10}, b.measureDisk},
		{[]int{1}, b.measureCalls},
		{[]int{1}, b.measureCallsDown},
		{[]int{2}, b.measureParallel},
		{[]int{7}, b.measureLatency},
		{[]int{9}, b.measureLarge},
		{[]int{3}, b.measureRelay},
		{[]int{4, 5, 6, 8}, b.measureQueue},
		{[]int{11}, b.measureAlias},
	}
}

func newBench(ctx context.Context, o *options) (*bench, error) {
	b := &bench{options: o, ctx: ctx, table: &table{out: os.Stdout}}
	if err := b.setUp(); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) setUp() (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if err := b.makeDirectory(); err != nil {
		return err
	}
	if b.sink, err = startSink(b.ctx, b.self); err != nil {
		return fmt.Errorf("start the sink: %w", err)
	}
	if b.ours, err = newPostrider(b.ctx, b.bin, filepath.Join(b.temp, "postrider"), b.sink); err != nil {
		return err
	}
	if err := b.ours.start(); err != nil {
		return err
	}
	return b.startPeers()
}

// makeDirectory makes the temporary directory and the messages in it.
func (b *bench) makeDirectory() (err error) {
	if b.temp, err = os.MkdirTemp(b.dir, "postrider-bench"); err != nil {
		return err
	}
	if err := os.Chmod(b.temp, 0o755); err != nil {
		return err
	}
	b.small, b.large = filepath.Join(b.temp, "small"), filepath.Join(b.temp, "large")
	if err := os.WriteFile(b.small, sample(2<<10), 0o644); err != nil {
		return err
	}
	return os.WriteFile(b.large, sample(25<<20), 0o644)
}

// sample is a message of so many bytes, with line ends as local programs have them.
func sample(size int) []byte {
	text := []byte("From: <a@x.test>\nTo: <b@y.test>\nSubject: bench\n\n")
	line := append(bytes.Repeat([]byte("x"), 70), '\n')
	for len(text)+len(line) < size {
		text = append(text, line...)
	}
	text = append(text, bytes.Repeat([]byte("y"), size-len(text)-1)...)
	return append(text, '\n')
}

func (b *bench) startPeers() error {
	for _, p := range findPeers(peerEnv{b.ctx, b.peersDir, b.sink.address}) {
		if err := p.start(); err != nil {
			p.stop()
			return fmt.Errorf("start %s: %w; remove it with \"bench/peers down\" to go without", p.name(), err)
		}
		b.peers = append(b.peers, p)
	}
	return nil
}

// systems are all under test, ours first.
func (b *bench) systems() []system { return append([]system{b.ours}, b.peers...) }

func (b *bench) systemsLine() string {
	names := []string{"postrider " + b.ours.version()}
	for _, p := range b.peers {
		names = append(names, p.name()+" "+p.version())
	}
	line := strings.Join(names, ", ")
	if len(b.peers) == 0 {
		line += "; no peers in " + b.peersDir + " (make bench-peers)"
	}
	return line
}

// pick chooses between the number for a full run and that for a quick one.
func (b *bench) pick(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// note prints what a run gave, if asked for.
func (b *bench) note(format string, args ...any) {
	if b.verbose {
		fmt.Fprintf(os.Stderr, format+"\n", args...)
	}
}

func (b *bench) close() {
	for _, p := range b.peers {
		p.stop()
	}
	if b.ours != nil {
		b.ours.stop()
	}
	if b.sink != nil {
		b.sink.close()
	}
	if b.temp != "" {
		os.RemoveAll(b.temp)
	}
}
