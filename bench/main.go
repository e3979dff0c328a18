// Command bench measures the whole system: the real sendmail and the real daemon on
// a real disk, as ratios to what other programs and the machine itself do in the
// same run.
//
//  1. A sink, a process of its own, takes the mail in and counts it.
//  2. The daemon runs in a temporary directory with the sink as its smarthost;
//     Postfix and dma, if bench/peers has fetched them, run beside it in theirs.
//  3. Each measurement takes the systems in turn, several times over, since the
//     speed of a shared machine changes by the minute, and prints the medians.
//
// README.md says what each figure is and how to read it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// run is one of the processes that a benchmark consists of.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "sink":
			return runSink(os.Stdin, os.Stdout)
		case "load":
			return runLoad(args[1:], os.Stdout)
		}
	}
	return runBench(ctx, args)
}

// options are the flags.
type options struct {
	bin, dir, peersDir string
	quick, verbose     bool
	many               int
	only               map[int]bool
}

func parseOptions(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.bin, "bin", "bin", "`directory` of the built programs")
	f.StringVar(&o.dir, "dir", "/var/tmp", "`directory` on the disk to measure; not a tmpfs")
	f.StringVar(&o.peersDir, "peers", "/var/tmp/postrider-peers", "`directory` that bench/peers has prepared")
	f.BoolVar(&o.quick, "quick", false, "fewer messages, and -many 0")
	f.IntVar(&o.many, "many", 200_000, "`messages` queued for the memory of a very full queue; 0 for no such measurement")
	f.BoolVar(&o.verbose, "v", false, "print each run on standard error")
	only := f.String("only", "", "the `numbers` of the measurements to make, with commas")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if o.quick {
		o.many = 0
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see -help", f.Arg(0))
	}
	if *only == "" {
		return o, nil
	}
	o.only = map[int]bool{}
	for word := range strings.SplitSeq(*only, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(word))
		if err != nil || n < 1 || n > 11 {
			return nil, fmt.Errorf("-only %q: numbers from 1 to 11 with commas", *only)
		}
		o.only[n] = true
	}
	return o, nil
}

// wants reports whether any of the measurements is to be made.
func (o *options) wants(numbers ...int) bool {
	if o.only == nil {
		return true
	}
	for _, n := range numbers {
		if o.only[n] {
			return true
		}
	}
	return false
}

func runBench(ctx context.Context, args []string) error {
	o, err := parseOptions(args)
	if err != nil {
		return err
	}
	began := time.Now()
	b, err := newBench(ctx, o)
	if err != nil {
		return err
	}
	defer b.close()
	b.table.head(machine(o.dir), b.systemsLine())
	failed := 0
	for _, m := range b.measurements() {
		if !o.wants(m.numbers...) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := m.run(); err != nil {
			failed++
			b.table.failure(m.numbers, err)
		}
	}
	b.table.foot(time.Since(began))
	if failed > 0 {
		return fmt.Errorf("%d measurements failed; the daemon's log ends:\n%s", failed, b.ours.logTail())
	}
	return nil
}
