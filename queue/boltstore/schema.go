package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"

	bolt "go.etcd.io/bbolt"

	"postrider/queue"
)

// bucket numbers the buckets of the file, see bucketNames.
type bucket int

const (
	metaBucket       bucket = iota // "schema" and "counters"
	messageBucket                  // id → messageRow
	bodyBucket                     // id, chunk → bytes
	stagedBucket                   // id → nothing: chunks without an envelope yet
	workBucket                     // id → state; id, n → deliveryRow
	dueBucket                      // dueKey → sender's hash
	destBucket                     // name → destinationRow
	wakeBucket                     // wake time, destination's number → name
	agendaBucket                   // time, id → nothing
	senderBucket                   // domainHash, id → sender's hash
	submissionBucket               // hash of uid and submission id → id
	attemptBucket                  // id, n → attemptRow
	retiredBucket                  // id → retiredRow
	endedBucket                    // time, id → nothing
	buckets
)

func (b bucket) name() []byte {
	names := [buckets]string{
		"meta", "message", "body", "staged", "work", "due", "destination", "wake",
		"agenda", "sender", "submission", "attempt", "retired", "ended",
	}
	return []byte(names[b])
}

// fill is how full pages are left when they are split. Keys that arrive mostly in
// order leave little to add later, and nothing to what is never changed.
func (b bucket) fill() float64 {
	switch b {
	case messageBucket, bodyBucket:
		return 1
	case workBucket, attemptBucket, retiredBucket, endedBucket, agendaBucket:
		return 0.9
	}
	return bolt.DefaultFillPercent
}

const (
	schemaKey    = "schema"
	schemaMagic  = "postrider queue\n"
	countersKey  = "counters"
	countersSize = 6 * 8
)

// migrations lists the steps from one schema version to the next: the step at
// index i makes version i+1 of version i. Version 0 is an empty file.
func migrations() []func(*bolt.Tx) error {
	return []func(*bolt.Tx) error{createBuckets, allowAdded}
}

// allowAdded makes version 2. Rows of version 1 are rows of version 2. The new
// number keeps programs away that would pass over what an alias said of a recipient
// and send its mail to the alias again.
func allowAdded(*bolt.Tx) error { return nil }

// createBuckets makes version 1 of the schema.
func createBuckets(tx *bolt.Tx) error {
	for b := range buckets {
		if _, err := tx.CreateBucket(b.name()); err != nil {
			return fmt.Errorf("create bucket %s: %w", b.name(), err)
		}
	}
	return tx.Bucket(metaBucket.name()).Put([]byte(countersKey), new(counters).encode())
}

// schemaVersion reads the version of the schema in the file.
func schemaVersion(tx *bolt.Tx) (int, error) {
	meta := tx.Bucket(metaBucket.name())
	if meta == nil {
		return 0, errors.New("there is no postrider schema in it")
	}
	v := meta.Get([]byte(schemaKey))
	if len(v) != len(schemaMagic)+4 || string(v[:len(schemaMagic)]) != schemaMagic {
		return 0, errors.New("the mark of a postrider schema is missing")
	}
	return int(binary.BigEndian.Uint32(v[len(schemaMagic):])), nil
}

// checkSchema fails with ErrForeign or ErrNewerSchema for a file that is not ours
// to open.
func checkSchema(tx *bolt.Tx) (version int, err error) {
	version, err = schemaVersion(tx)
	if err != nil {
		return 0, fmt.Errorf("%w: %w; the file was left as it is: move it away, or choose another spool directory", queue.ErrForeign, err)
	}
	if known := len(migrations()); version > known {
		return 0, fmt.Errorf("%w: its schema is version %d and this program knows up to %d; upgrade postrider, or start with another spool directory",
			queue.ErrNewerSchema, version, known)
	}
	for b := range buckets {
		if version == len(migrations()) && tx.Bucket(b.name()) == nil {
			return 0, fmt.Errorf("%w: bucket %s is missing", queue.ErrForeign, b.name())
		}
	}
	return version, nil
}

// migrate brings the file from the version to the current schema, step by step,
// each step in a transaction with its mark.
func migrate(db *bolt.DB, version int) error {
	steps := migrations()
	for ; version < len(steps); version++ {
		err := db.Update(func(tx *bolt.Tx) error {
			if err := steps[version](tx); err != nil {
				return err
			}
			mark := binary.BigEndian.AppendUint32([]byte(schemaMagic), uint32(version+1))
			return tx.Bucket(metaBucket.name()).Put([]byte(schemaKey), mark)
		})
		if err != nil {
			return fmt.Errorf("migrate the spool to schema version %d: %w", version+1, err)
		}
	}
	return nil
}

// counters are kept with every commit.
type counters struct {
	lastID       uint64
	messages     uint64
	deliveries   uint64 // not done
	destinations uint64
	bytes        uint64 // of bodies of messages
	numbers      uint64 // destination numbers given out
}

func (c *counters) encode() []byte {
	b := make([]byte, 0, countersSize)
	for _, v := range [...]uint64{c.lastID, c.messages, c.deliveries, c.destinations, c.bytes, c.numbers} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

func decodeCounters(b []byte) (counters, error) {
	if len(b) != countersSize {
		return counters{}, fmt.Errorf("decode counters: %d bytes, want %d", len(b), countersSize)
	}
	var c counters
	for i, v := range [...]*uint64{&c.lastID, &c.messages, &c.deliveries, &c.destinations, &c.bytes, &c.numbers} {
		*v = binary.BigEndian.Uint64(b[8*i:])
	}
	return c, nil
}
