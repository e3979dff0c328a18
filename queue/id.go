package queue

import (
	"errors"
	"fmt"
	"strconv"
)

// ID identifies a message within a spool. It is a 48-bit number, ordered by time
// of acceptance and never reused; the topmost four bits are left for a node
// prefix where several nodes share a queue. Zero is no ID.
type ID uint64

// MaxID is the greatest identifier there can be.
const MaxID ID = 1<<48 - 1

// String gives the ID as twelve upper-case hexadecimal digits, the longest form
// that parsers of Postfix's queue listing accept.
func (id ID) String() string { return fmt.Sprintf("%012X", uint64(id)) }

// ParseID reads what String printed; lower-case digits are accepted too.
func ParseID(s string) (ID, error) {
	n, err := strconv.ParseUint(s, 16, 48)
	if err != nil || len(s) != 12 || n == 0 {
		return 0, fmt.Errorf("%q is not a queue id: want 12 hexadecimal digits, as mailq prints them", s)
	}
	return ID(n), nil
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(b []byte) error {
	v, err := ParseID(string(b))
	if err != nil {
		return err
	}
	*id = v
	return nil
}

// Errors of opening a store.
var (
	// ErrLocked says that another process has the store open.
	ErrLocked = errors.New("spool is in use by another process")
	// ErrNewerSchema says that a newer postrider wrote the store.
	ErrNewerSchema = errors.New("spool was written by a newer postrider")
	// ErrForeign says that the file is not a postrider store, or a damaged one.
	ErrForeign = errors.New("not a postrider spool")
)

// Errors of a store in use.
var (
	// ErrNoSpace says that free space is below the floor: nothing new is accepted
	// until there is room, deliveries go on.
	ErrNoSpace = errors.New("spool has not enough free space")
	// ErrFailed says that a write or sync failed. The store accepts nothing and
	// records nothing any more; the process should end.
	ErrFailed = errors.New("spool storage has failed")
	// ErrClosed says that the store has been closed.
	ErrClosed = errors.New("spool is closed")
	// ErrNotFound says that there is no such message in the queue.
	ErrNotFound = errors.New("no such message in the queue")
	// ErrLeaseLost says that the delivery is no longer the caller's: deleted,
	// held, or leased to another.
	ErrLeaseLost = errors.New("delivery is leased to another or gone")
	// ErrTooMany says that a message would get more recipients or deliveries than
	// the store can keep of one; nothing was stored.
	ErrTooMany = errors.New("message has too many recipients")
)
