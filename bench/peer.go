package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// peerEnv is what a peer needs to be run.
type peerEnv struct {
	ctx  context.Context
	dir  string // that bench/peers has prepared
	sink string // address for mail
}

// peer is a program in a root directory of its own.
type peer struct {
	peerEnv
	label   string
	program string // that must be there
}

func (p *peer) name() string { return p.label }
func (p *peer) root() string { return filepath.Join(p.dir, p.label) }

// file is the path of one of its files as we see it.
func (p *peer) file(path string) string { return filepath.Join(p.root(), path) }

func (p *peer) there() bool {
	_, err := os.Stat(p.file(p.program))
	return err == nil
}

// run runs one of its programs as root.
func (p *peer) run(path string, args ...string) error {
	_, err := p.caller(path, filepath.Base(path)).output(p.ctx, args...)
	return err
}

func (p *peer) caller(path string, args ...string) caller {
	return caller{path: path, args: args, chroot: p.root()}
}

// sinkHostPort is the sink's address in two.
func (p *peer) sinkHostPort() (host, port string) {
	host, port, _ = net.SplitHostPort(p.sink)
	return host, port
}

// pids are the processes whose root directory is the peer's.
func (p *peer) pids() []int {
	root, err := filepath.EvalSymlinks(p.root())
	if err != nil {
		return nil
	}
	var list []int
	for pid, dir := range processes() {
		if link, err := os.Readlink(dir + "/root"); err == nil && link == root {
			list = append(list, pid)
		}
	}
	return list
}

// firstLine is the first line of a program's output without what is before "=".
func firstLine(out []byte, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	if _, value, ok := strings.Cut(line, "= "); ok {
		line = value
	}
	if err != nil || line == "" {
		return "(unknown version)"
	}
	return line
}
