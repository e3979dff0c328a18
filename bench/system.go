package main

import "os"

// system is a mail system under test. It delivers everything to the sink.
type system interface {
	name() string
	version() string
	start() error
	stop() error
	// sendmail is "sendmail -i -t" by an unprivileged user; mailq lists the queue.
	sendmail() caller
	mailq() caller
}

// server is a system that takes mail over SMTP and can be told to hold it.
type server interface {
	system
	smtp() string
	// spool is the directory of what is queued.
	spool() string
	// pids are its processes.
	pids() []int
	// hold has everything that comes queued until ready and flush; flush has it
	// delivered at once, and ready is what need not be counted as delivery.
	hold() error
	ready() error
	flush() error
}

// servers are the systems that are servers.
func (b *bench) servers() []server {
	var list []server
	for _, s := range b.systems() {
		if v, ok := s.(server); ok {
			list = append(list, v)
		}
	}
	return list
}

// findPeers looks for what bench/peers has prepared. Only root may use it.
func findPeers(env peerEnv) []system {
	var list []system
	if os.Geteuid() != 0 {
		return nil
	}
	for _, p := range []interface {
		system
		there() bool
	}{newDMA(env), newPostfix(env)} {
		if p.there() {
			list = append(list, p)
		}
	}
	return list
}
