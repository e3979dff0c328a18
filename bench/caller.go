package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// caller is a command and who runs it where.
type caller struct {
	path string   // inside chroot, if there is one
	args []string // with the name it is called by
	env  []string
	// chroot is the root directory; "" for ours.
	chroot string
	// unprivileged has it run as callerUID if we are root.
	unprivileged bool
}

func (c caller) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.path)
	cmd.Args = append(append([]string{}, c.args...), args...)
	cmd.Env = append([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, c.env...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: c.chroot}
	if c.unprivileged && os.Geteuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: callerUID, Gid: callerUID}
	}
	return cmd
}

// output runs the command and returns what it prints.
func (c caller) output(ctx context.Context, args ...string) ([]byte, error) {
	cmd := c.command(ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("%s %v: %w: %s", c.path, cmd.Args[1:], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// call is one run of a command that takes a message.
type call struct {
	began     time.Time
	wall, cpu time.Duration // cpu with that of the children it waited for
}

// call hands the message in a file to the command.
func (c caller) call(ctx context.Context, file string) (call, error) {
	return c.watched(ctx, file, func(int) {})
}

// watched is call with fn looking at the process while it runs.
func (c caller) watched(ctx context.Context, file string, fn func(pid int)) (call, error) {
	message, err := os.Open(file)
	if err != nil {
		return call{}, err
	}
	defer message.Close()
	cmd := c.command(ctx)
	cmd.Stdin = message
	cmd.Stderr = os.Stderr // not a pipe: dma's deliveries would hold it open
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return call{}, err
	}
	fn(cmd.Process.Pid)
	if err := cmd.Wait(); err != nil {
		return call{}, fmt.Errorf("%s: %w", c.path, err)
	}
	return call{began, time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// parallel makes n calls by so many workers and returns when it began and ended.
func (c caller) parallel(ctx context.Context, file string, n, workers int) (began, ended time.Time, err error) {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make([]error, workers)
	var group sync.WaitGroup
	began = time.Now()
	for i := range errs {
		group.Go(func() {
			for left.Add(-1) >= 0 && errs[i] == nil {
				_, errs[i] = c.call(ctx, file)
			}
		})
	}
	group.Wait()
	return began, time.Now(), errors.Join(errs...)
}
