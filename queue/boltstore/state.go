package boltstore

import (
	"encoding/binary"
	"fmt"

	"postrider/queue"
)

// state is what changes of a message, and what commits need to know of it without
// decoding its envelope.
type state struct {
	held     bool
	notified bool
	next     uint16 // number of the next delivery
	open     uint16 // deliveries not done
	untried  uint16 // of these, never tried
	owed     uint32 // recipients the sender is to be told of
	attempts uint32 // rows of history
	chunks   uint32 // of the body
	sender   uint32 // senderHash
	domain   uint64 // domainHash
	size     uint64 // of the body
	notice   tick   // Message.NoticeAt
	expires  tick   // Message.Expires
	agenda   tick   // when the message is on the agenda, zero if never
	// submission is the message's key in the submission index, if it has one.
	submission []byte
	holdReason string
}

const (
	stateFixed = 1 + 3*2 + 4*4 + 5*8

	flagHeld     = 1
	flagNotified = 2
	flagSubmit   = 4
)

func (s *state) encode() []byte {
	b := make([]byte, 0, stateFixed+len(s.submission)+len(s.holdReason))
	var flags byte
	if s.held {
		flags |= flagHeld
	}
	if s.notified {
		flags |= flagNotified
	}
	if s.submission != nil {
		flags |= flagSubmit
	}
	b = append(b, flags)
	for _, v := range [...]uint16{s.next, s.open, s.untried} {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	for _, v := range [...]uint32{s.owed, s.attempts, s.chunks, s.sender} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	for _, v := range [...]uint64{s.domain, s.size, uint64(s.notice), uint64(s.expires), uint64(s.agenda)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return append(append(b, s.submission...), s.holdReason...)
}

func decodeState(b []byte) (*state, error) {
	if len(b) < stateFixed || b[0]&flagSubmit != 0 && len(b) < stateFixed+submissionLen {
		return nil, fmt.Errorf("decode state record: %d bytes are too few", len(b))
	}
	s := &state{held: b[0]&flagHeld != 0, notified: b[0]&flagNotified != 0}
	submits := b[0]&flagSubmit != 0
	b = b[1:]
	for _, v := range [...]*uint16{&s.next, &s.open, &s.untried} {
		*v, b = binary.BigEndian.Uint16(b), b[2:]
	}
	for _, v := range [...]*uint32{&s.owed, &s.attempts, &s.chunks, &s.sender} {
		*v, b = binary.BigEndian.Uint32(b), b[4:]
	}
	for _, v := range [...]*uint64{&s.domain, &s.size, (*uint64)(&s.notice), (*uint64)(&s.expires), (*uint64)(&s.agenda)} {
		*v, b = binary.BigEndian.Uint64(b), b[8:]
	}
	if submits {
		s.submission, b = append([]byte(nil), b[:submissionLen]...), b[submissionLen:]
	}
	s.holdReason = string(b)
	return s, nil
}

func (s *state) lane(destination uint32, retry bool) lane {
	return lane{destination, retry, byte(s.sender >> 24)}
}

// due is the delivery's key in the due index.
func (s *state) due(destination uint32, key queue.DeliveryKey, row *deliveryRow) dueKey {
	return makeDueKey(s.lane(destination, row.retry()), row.Due, key)
}

// schedule is when the message is due for a delay notice or for expiry.
func (s *state) schedule() tick {
	if s.notified || s.notice == 0 {
		return s.expires
	}
	if s.expires == 0 {
		return s.notice
	}
	return min(s.notice, s.expires)
}
