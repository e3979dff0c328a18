package boltstore

import (
	"fmt"
	"math"
	"time"

	"github.com/fxamacker/cbor/v2"

	"postrider/queue"
)

// tick is a time as it is stored: nanoseconds since 1970 moved up by 2^63, so that
// its big-endian form sorts by time. Zero is the zero time. Times before 1678 and
// after 2261 are moved to these years.
type tick uint64

const tickEpoch = 1 << 63

func tickOf(t time.Time) tick {
	switch {
	case t.IsZero():
		return 0
	case t.Unix() <= math.MinInt64/int64(time.Second):
		return 1
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxUint64
	}
	return tick(uint64(t.UnixNano()) + tickEpoch)
}

func (k tick) time() time.Time {
	if k == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(uint64(k)-tickEpoch)).UTC()
}

// The rows below are the types of package queue with their times replaced: a field
// of the row hides the embedded one that has the same number.

type messageRow struct {
	queue.Message
	Arrival  tick `cbor:"7,keyasint"`
	Expires  tick `cbor:"8,keyasint"`
	NoticeAt tick `cbor:"9,keyasint,omitempty"`
}

type deliveryRow struct {
	queue.Delivery
	Due         tick           `cbor:"4,keyasint"`
	LastAttempt tick           `cbor:"5,keyasint,omitempty"`
	Recipients  []recipientRow `cbor:"6,keyasint"`
	// Token of the lease under which the last attempt was recorded.
	Token uint64 `cbor:"32,keyasint,omitempty"`
}

type recipientRow struct {
	queue.DeliveryRecipient
	At tick `cbor:"8,keyasint,omitempty"`
}

type attemptRow struct {
	queue.Attempt
	Started tick `cbor:"1,keyasint"`
}

type destinationRow struct {
	queue.Destination
	Due       tick `cbor:"2,keyasint,omitempty"`
	Suspended tick `cbor:"3,keyasint,omitempty"`
	// Number stands for the name in the keys of the due index.
	Number uint32 `cbor:"32,keyasint"`
}

// retiredRow keeps the final entry of a message. Envelope and deliveries are the
// rows as they were.
type retiredRow struct {
	Message    cbor.RawMessage   `cbor:"1,keyasint"`
	Deliveries []cbor.RawMessage `cbor:"2,keyasint"`
	Numbers    []uint16          `cbor:"3,keyasint"`
	Ended      tick              `cbor:"4,keyasint"`
	Notified   bool              `cbor:"5,keyasint,omitempty"`
	HoldReason string            `cbor:"6,keyasint,omitempty"`
	Submission []byte            `cbor:"7,keyasint,omitempty"`
	Attempts   uint32            `cbor:"8,keyasint,omitempty"`
}

// codec encodes and decodes rows.
type codec struct {
	enc cbor.EncMode
	dec cbor.DecMode
}

func newCodec() (codec, error) {
	enc, err := cbor.EncOptions{Time: cbor.TimeRFC3339NanoUTC}.EncMode()
	if err != nil {
		return codec{}, fmt.Errorf("set up the record encoder: %w", err)
	}
	// Replies of remote hosts are kept verbatim, valid UTF-8 or not.
	dec, err := cbor.DecOptions{UTF8: cbor.UTF8DecodeInvalid}.DecMode()
	if err != nil {
		return codec{}, fmt.Errorf("set up the record decoder: %w", err)
	}
	return codec{enc, dec}, nil
}

func (c codec) decode(what string, b []byte, row any) error {
	if err := c.dec.Unmarshal(b, row); err != nil {
		return fmt.Errorf("decode %s record of %d bytes: %w", what, len(b), err)
	}
	return nil
}

func (c codec) encodeMessage(m *queue.Message) ([]byte, error) {
	row := messageRow{Message: *m, Arrival: tickOf(m.Arrival), Expires: tickOf(m.Expires), NoticeAt: tickOf(m.NoticeAt)}
	return c.enc.Marshal(&row)
}

func (c codec) decodeMessage(b []byte) (*queue.Message, error) {
	var row messageRow
	if err := c.decode("message", b, &row); err != nil {
		return nil, err
	}
	row.Message.Arrival = row.Arrival.time()
	row.Message.Expires = row.Expires.time()
	row.Message.NoticeAt = row.NoticeAt.time()
	return &row.Message, nil
}

func (c codec) decodeDelivery(b []byte) (*deliveryRow, error) {
	var row deliveryRow
	if err := c.decode("delivery", b, &row); err != nil {
		return nil, err
	}
	return &row, nil
}

// delivery turns the row into what callers see.
func (r *deliveryRow) delivery(key queue.DeliveryKey) queue.Delivery {
	d := r.Delivery
	d.Key = key
	d.Due, d.LastAttempt = r.Due.time(), r.LastAttempt.time()
	d.Recipients = make([]queue.DeliveryRecipient, len(r.Recipients))
	for i := range r.Recipients {
		d.Recipients[i] = r.Recipients[i].DeliveryRecipient
		d.Recipients[i].At = r.Recipients[i].At.time()
	}
	return d
}

func (r *deliveryRow) done() bool { return r.State == queue.Done }

// retry tells whether an attempt of the delivery has been counted.
func (r *deliveryRow) retry() bool { return r.State == queue.Deferred }

func (c codec) encodeAttempt(a *queue.Attempt) ([]byte, error) {
	return c.enc.Marshal(&attemptRow{Attempt: *a, Started: tickOf(a.Started)})
}

func (c codec) decodeAttempt(b []byte) (queue.Attempt, error) {
	var row attemptRow
	if err := c.decode("attempt", b, &row); err != nil {
		return queue.Attempt{}, err
	}
	row.Attempt.Started = row.Started.time()
	return row.Attempt, nil
}

func (c codec) decodeDestination(name, b []byte) (*destinationRow, error) {
	var row destinationRow
	if err := c.decode("destination", b, &row); err != nil {
		return nil, err
	}
	row.Name = string(name)
	return &row, nil
}

// destination turns the row into what callers see.
func (r *destinationRow) destination() queue.Destination {
	d := r.Destination
	d.Due, d.Suspended = r.Due.time(), r.Suspended.time()
	return d
}

// wake is Destination.Wake.
func (r *destinationRow) wake() tick {
	if r.Due == 0 || r.Suspended < r.Due {
		return r.Due
	}
	return r.Suspended
}
