package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"postrider/queue"
)

// maxDestination bounds the names of destinations, in bytes.
const maxDestination = 1024

// destinations are the summaries that the writer has read; it is their only user.
type destinations struct {
	known   map[string]*destination
	touched []*destination
}

// destination is a summary with what is stored of it.
type destination struct {
	destinationRow
	storedWake tick
	stored     bool // a row exists
	touched    bool
	stale      bool // Due must be looked up
}

// cachedDestinations bounds the memory of the cache.
const cachedDestinations = 4096

func newDestinations() *destinations {
	return &destinations{known: make(map[string]*destination)}
}

// forget drops everything, because a transaction was rolled back.
func (ds *destinations) forget() {
	clear(ds.known)
	ds.touched = nil
}

// get reads a summary in order to change it. A new one gets a number.
func (ds *destinations) get(b *batch, name string) *destination {
	d := ds.known[name]
	if d == nil {
		if d = ds.load(b, name); d == nil {
			return nil
		}
		ds.known[name] = d
	}
	if !d.touched {
		d.touched = true
		ds.touched = append(ds.touched, d)
	}
	return d
}

func (ds *destinations) load(b *batch, name string) *destination {
	d := new(destination)
	v := b.get(destBucket, []byte(name))
	if v == nil {
		b.counters.numbers++
		d.Name, d.Number = name, uint32(b.counters.numbers)
		return d
	}
	row, err := b.decodeDestination([]byte(name), v)
	if err != nil {
		b.fail(err)
		return nil
	}
	d.destinationRow, d.stored, d.storedWake = *row, true, row.wake()
	return d
}

// exists tells whether the destination has mail.
func (ds *destinations) exists(b *batch, name string) bool {
	if d := ds.known[name]; d != nil {
		return d.Count > 0
	}
	return b.get(destBucket, []byte(name)) != nil
}

func (d *destination) added(due tick) {
	if !d.stale && (d.Due == 0 || due < d.Due) {
		d.Due = due
	}
}

func (d *destination) removed(due tick) {
	d.stale = d.stale || due <= d.Due
}

// store writes the summaries that were touched.
func (ds *destinations) store(b *batch) {
	for _, d := range ds.touched {
		if d.stale {
			d.Due, d.stale = earliestDue(b, d.Number), false
		}
		ds.storeOne(b, d)
	}
}

func (ds *destinations) storeOne(b *batch, d *destination) {
	if d.Count < 0 || d.Count == 0 && d.Due != 0 {
		b.fail(fmt.Errorf("summary of destination %q: %d deliveries, due %v", d.Name, d.Count, d.Due.time()))
	}
	wake := d.wake()
	if d.storedWake != 0 && wake != d.storedWake {
		b.delete(wakeBucket, wakeKey(d.storedWake, d.Number))
	}
	if wake != 0 && wake != d.storedWake {
		b.put(wakeBucket, wakeKey(wake, d.Number), []byte(d.Name))
	}
	d.storedWake = wake
	if d.Count > 0 {
		b.put(destBucket, []byte(d.Name), b.encode(&d.destinationRow))
		if !d.stored {
			b.counters.destinations++
		}
		d.stored = true
		return
	}
	if d.stored {
		b.delete(destBucket, []byte(d.Name))
		b.counters.destinations--
	}
	d.stored = false
}

// committed returns the new summaries and makes ready for the next batch. emptied
// are the numbers of destinations without mail.
func (ds *destinations) committed() (changed []queue.Destination, emptied []uint32) {
	changed = make([]queue.Destination, len(ds.touched))
	for i, d := range ds.touched {
		d.touched = false
		if d.Count == 0 {
			emptied = append(emptied, d.Number)
			delete(ds.known, d.Name)
			d.destinationRow.Destination = queue.Destination{Name: d.Name}
		}
		changed[i] = d.destination()
	}
	ds.touched = ds.touched[:0]
	if len(ds.known) > cachedDestinations {
		clear(ds.known)
	}
	return changed, emptied
}

// earliestDue looks at the first row of each lane.
func earliestDue(b *batch, number uint32) tick {
	var earliest tick
	c := b.bucket(dueBucket).Cursor()
	l := lane{destination: number}
	for {
		p := l.prefix()
		k, _ := c.Seek(p[:])
		if len(k) < lanePrefix || !bytes.Equal(k[:4], p[:4]) {
			return earliest
		}
		key, err := parseDueKey(k)
		if err != nil {
			b.fail(err)
			return earliest
		}
		if earliest == 0 || key.due() < earliest {
			earliest = key.due()
		}
		var more bool
		if l, more = key.lane().following(); !more {
			return earliest
		}
	}
}

// following is the lane that comes next in a destination.
func (l lane) following() (next lane, ok bool) {
	switch {
	case l.hash < 255:
		return lane{l.destination, l.retry, l.hash + 1}, true
	case !l.retry:
		return lane{l.destination, true, 0}, true
	}
	return lane{}, false
}

// checkDestination refuses names that cannot be stored.
func checkDestination(name string) error {
	switch {
	case name == "":
		return errors.New("a recipient has no destination")
	case len(name) > maxDestination:
		return fmt.Errorf("destination %.40q… of %d bytes is longer than %d", name, len(name), maxDestination)
	}
	return nil
}

// readDestination reads a summary by its name, nil if there is none.
func (v *view) readDestination(name []byte) (*destinationRow, error) {
	b := v.bucket(destBucket).Get(name)
	if b == nil {
		return nil, nil
	}
	return v.decodeDestination(name, b)
}

// waking splits a row of the wake index.
func waking(k []byte) (tick, error) {
	if len(k) != wakeLen {
		return 0, fmt.Errorf("wake key of %d bytes, want %d", len(k), wakeLen)
	}
	return tick(binary.BigEndian.Uint64(k)), nil
}
