package boltstore

import (
	"encoding/binary"
	"fmt"

	"postrider/queue"
)

// Keys are big-endian, so that bbolt's byte order is the order of their parts.
const (
	idLen       = 6
	deliveryLen = idLen + 2
	chunkLen    = idLen + 4
	attemptLen  = idLen + 4
	timedLen    = 8 + idLen // agenda and ended: time, id
	senderLen   = 8 + idLen // sender: hash of the domain, id
	wakeLen     = 8 + 4     // wake: time, destination's number
	lanePrefix  = 6
	dueLen      = lanePrefix + 8 + deliveryLen
)

func appendID(b []byte, id queue.ID) []byte {
	return append(b, byte(id>>40), byte(id>>32), byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func idKey(id queue.ID) []byte { return appendID(make([]byte, 0, idLen), id) }

// idIn reads the ID that a key starts with; shorter keys give zero, which is no ID.
func idIn(b []byte) queue.ID {
	if len(b) < idLen {
		return 0
	}
	return queue.ID(b[0])<<40 | queue.ID(b[1])<<32 | queue.ID(binary.BigEndian.Uint32(b[2:]))
}

func deliveryKey(k queue.DeliveryKey) []byte {
	return binary.BigEndian.AppendUint16(appendID(make([]byte, 0, deliveryLen), k.Message), k.N)
}

func chunkKey(id queue.ID, n uint32) []byte {
	return binary.BigEndian.AppendUint32(appendID(make([]byte, 0, chunkLen), id), n)
}

func attemptKey(id queue.ID, n uint32) []byte { return chunkKey(id, n) }

func timedKey(at tick, id queue.ID) []byte {
	return appendID(binary.BigEndian.AppendUint64(make([]byte, 0, timedLen), uint64(at)), id)
}

func parseTimed(k []byte) (tick, queue.ID, error) {
	if len(k) != timedLen {
		return 0, 0, fmt.Errorf("time key of %d bytes, want %d", len(k), timedLen)
	}
	return tick(binary.BigEndian.Uint64(k)), idIn(k[8:]), nil
}

func senderKey(domain uint64, id queue.ID) []byte {
	return appendID(binary.BigEndian.AppendUint64(make([]byte, 0, senderLen), domain), id)
}

func wakeKey(at tick, number uint32) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(make([]byte, 0, wakeLen), uint64(at)), number)
}

// lane names one queue within a destination: those of the senders that share a
// hash byte whose mail is new, or was tried.
type lane struct {
	destination uint32
	retry       bool
	hash        byte
}

func (l lane) prefix() [lanePrefix]byte {
	var p [lanePrefix]byte
	binary.BigEndian.PutUint32(p[:], l.destination)
	if l.retry {
		p[4] = 1
	}
	p[5] = l.hash
	return p
}

// dueKey is a key of the due index: lane, due, delivery.
type dueKey [dueLen]byte

func makeDueKey(l lane, due tick, d queue.DeliveryKey) dueKey {
	var k dueKey
	p := l.prefix()
	copy(k[:], p[:])
	binary.BigEndian.PutUint64(k[lanePrefix:], uint64(due))
	appendID(k[:lanePrefix+8], d.Message)
	binary.BigEndian.PutUint16(k[lanePrefix+8+idLen:], d.N)
	return k
}

func parseDueKey(b []byte) (dueKey, error) {
	if len(b) != dueLen || b[4] > 1 {
		return dueKey{}, fmt.Errorf("damaged key of %d bytes in the due index", len(b))
	}
	return dueKey(b), nil
}

func (k *dueKey) lane() lane {
	return lane{binary.BigEndian.Uint32(k[:]), k[4] == 1, k[5]}
}

func (k *dueKey) due() tick { return tick(binary.BigEndian.Uint64(k[lanePrefix:])) }

func (k *dueKey) delivery() queue.DeliveryKey {
	return queue.DeliveryKey{Message: idIn(k[lanePrefix+8:]), N: binary.BigEndian.Uint16(k[lanePrefix+8+idLen:])}
}
