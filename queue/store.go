package queue

import (
	"context"
	"io"
	"time"
)

// Store keeps the queue. Implementations are safe for concurrent use. Whatever a
// method reports as done is durable: it survives the death of the process and of
// the machine.
//
// Time comes from the caller. Every implementation must pass queue/storetest.
type Store interface {
	// Create begins a message. It fails with ErrNoSpace below the free-space
	// floor and with ErrFailed once storage has failed.
	Create(ctx context.Context) (Draft, error)

	// Claim leases up to Max due deliveries of a destination to Owner. Senders
	// are served in turn, and three new deliveries for one that was tried before
	// where both wait; within these, the earliest due comes first. A suspended
	// destination yields nothing. A lease ends with Record, Release, at Until, or
	// with the death of the owner's process.
	Claim(ctx context.Context, c Claim) ([]Lease, error)
	// Load reads what is needed to attempt a leased delivery. ErrLeaseLost if the
	// lease is not, or no longer, the caller's.
	Load(ctx context.Context, l Lease) (*Work, error)
	// Renew prolongs leases; those already lost are passed over.
	Renew(ctx context.Context, until time.Time, leases ...Lease) error
	// Release gives leases back without an attempt; those already lost are passed
	// over.
	Release(ctx context.Context, leases ...Lease) error
	// Record ends an attempt. Recording under a lease that was already ended by
	// Record does nothing and is no error; one lost otherwise is ErrLeaseLost. It
	// fails with ErrTooMany, and nothing is recorded, if the message would get more
	// recipients or deliveries than can be kept of one.
	Record(ctx context.Context, l Lease, r Record) error

	// Body opens a message's body. It is read in steps, never under a lock that
	// outlives a Read.
	Body(ctx context.Context, id ID) (io.ReadCloser, error)
	// Get reads one message with its deliveries.
	Get(ctx context.Context, id ID) (*Entry, error)
	// List reads up to max entries that match, in order of ID, that come after
	// the given one. It may return fewer, even none, with a non-zero next: go on
	// from there; next is zero at the end.
	List(ctx context.Context, f Filter, after ID, max int) (entries []Entry, next ID, err error)
	// Destinations reads up to max summaries in order of name, after the given one.
	Destinations(ctx context.Context, after string, max int) ([]Destination, error)
	// Waking reads up to max destinations with Wake() not after until, earliest first.
	Waking(ctx context.Context, until time.Time, max int) ([]Destination, error)
	// Watch has fn called with the new summary of every destination after each
	// commit that changed it, in order of commits, by one goroutine at a time.
	// fn must not block or call the store. The returned function ends it.
	Watch(fn func([]Destination)) (stop func())
	// Survey counts what waits, by destination and by age as of the times given,
	// latest first, with the top senders and reasons. It reads indexes, and replies
	// of some thousands of deliveries at most. Messages are taken to have arrived in
	// order of ID.
	Survey(ctx context.Context, ages []time.Time, top int) (*Survey, error)
	// Stats counts what the store holds.
	Stats(ctx context.Context) (Stats, error)
	// History reads the attempts of a message in the queue or retired.
	History(ctx context.Context, id ID) ([]Attempt, error)
	// Retired reads the entry of a message that has ended and is still remembered.
	Retired(ctx context.Context, id ID) (*Entry, error)
	// Forget removes up to max retired messages that ended before the time.
	Forget(ctx context.Context, before time.Time, max int) (removed int, err error)

	// Suspend keeps a destination from being claimed until the time; a zero time
	// resumes it. One write whatever waits behind it. Destinations without mail
	// are passed over.
	Suspend(ctx context.Context, destination string, until time.Time, reason string, failures int) error
	// Flush makes deferred deliveries due now; held and leased ones are untouched.
	// Suspensions stay.
	Flush(ctx context.Context, now time.Time, ids ...ID) (flushed int, err error)
	// Hold keeps messages from being delivered; Unhold ends that. Leased
	// deliveries lose their lease.
	Hold(ctx context.Context, reason string, ids ...ID) (held int, err error)
	Unhold(ctx context.Context, ids ...ID) (released int, err error)
	// Delete ends messages with nobody told. Leased deliveries lose their lease.
	Delete(ctx context.Context, now time.Time, note string, ids ...ID) (deleted int, err error)
	// Conclude ends recipients outside of an attempt: expiry, return by an
	// administrator. Recipients that have ended or are leased are passed over.
	Conclude(ctx context.Context, id ID, now time.Time, note string, outcomes []Outcome) error

	// Agenda reads up to max messages of which something is due by the time:
	// reports owed, delay notices, expiry; earliest first.
	Agenda(ctx context.Context, until time.Time, max int) ([]AgendaItem, error)
	// Settle notes that what is named has been reported, and when the message is
	// to come up next, in one commit with the report itself. A nil draft settles
	// without a report. It returns the report's ID, zero without one.
	Settle(ctx context.Context, s Settlement, report Draft, m *Message) (ID, error)

	// Compact gives unused space back to the file system; callers wait meanwhile.
	Compact(ctx context.Context) error
	// Check verifies the whole store.
	Check(ctx context.Context) error
	// Failed is closed when storage has failed (ErrFailed).
	Failed() <-chan struct{}
	// Close waits for commits under way and closes the store.
	Close() error
}

// Draft is a message being received. It is used by one goroutine at a time.
type Draft interface {
	// ID is the identifier the message will have.
	ID() ID
	// Write takes the body, header first, with LF line ends. It fails as Create does.
	Write(p []byte) (int, error)
	// Commit accepts the message: on return without error it is durable. The
	// draft fills in m.ID and m.Size. destinations gives for each recipient its
	// destination. The ID returned differs from ID() if m.SubmissionID was
	// committed before; nothing is stored then.
	Commit(ctx context.Context, m *Message, destinations []string) (ID, error)
	// Abort drops the draft. It does nothing after Commit.
	Abort() error
}

// Claim asks for deliveries.
type Claim struct {
	Destination string
	Owner       string
	Now         time.Time
	Until       time.Time // the lease's end
	Max         int
}

// Lease is the exclusive right to attempt one delivery.
type Lease struct {
	Key DeliveryKey
	// Token fences: a stale holder's token is refused.
	Token uint64
	// Sender is equal for deliveries from the same reverse-path and uid.
	Sender uint32
	// Retry tells whether it was attempted before.
	Retry bool
	Due   time.Time
}

// Work is a leased delivery with all that an attempt needs.
type Work struct {
	Lease Lease
	// Message may be shared with other attempts and must not be changed.
	Message  *Message
	Delivery Delivery
	// Body is that of a small message, if the store had it at hand; else nil, and
	// [Store.Body] has it. It must not be changed.
	Body []byte
}

// Record ends an attempt.
type Record struct {
	Now     time.Time
	Attempt Attempt
	// Next is when recipients with a Temporary outcome, or with none, are due.
	Next time.Time
	// Uncounted leaves Attempts and the new/tried-before distinction as they were:
	// nothing was really tried.
	Uncounted bool
	// Move gives recipients (by index) another destination. They become
	// deliveries of their own, due at once.
	Move map[int]string
	// Added are recipients that take the place of those with an Expanded outcome.
	// They are appended to Message.Recipients in the same commit, and become
	// deliveries of their own, due at once: for each destination one, or as many as
	// it takes with DeliverySize of them in each.
	Added []Added
}

// DeliverySize is the most recipients that a delivery gets of those that are
// added. Every host takes so many in one transaction (RFC 5321 §4.5.3.1.8).
const DeliverySize = 100

// Added is a recipient that a message gets on its way.
type Added struct {
	Recipient   Recipient
	Destination string
	// Unique leaves it out if the message, or an earlier Added, has a recipient with
	// an equal Address (the domain without regard to case) and an equal Target.
	Unique bool
	// Outcome, if not nil, ends the recipient at once; its Index is ignored. It is
	// kept in the history with those of the attempt.
	Outcome *Outcome
}

// Entry is a message with its deliveries, as listings show it.
type Entry struct {
	Message    *Message
	Deliveries []Delivery
	HoldReason string
	// Notified says that the delay notice was dealt with.
	Notified bool
	// Ended is when a retired message ended.
	Ended time.Time
}

// AgendaItem names a message that is due for something other than delivery.
type AgendaItem struct {
	ID ID
	At time.Time
}

// Settlement says what has been reported.
type Settlement struct {
	Message ID
	Now     time.Time
	// Recipients (by index) whose Owed is cleared.
	Recipients []int
	// Notified sets Entry.Notified.
	Notified bool
	// RetryAt, if set, brings the message up again then: the report could not be
	// made now. Nothing is cleared.
	RetryAt time.Time
	// Destinations of the report's recipients, as for Draft.Commit.
	Destinations []string
	Note         string
}

// Stats counts what a store holds.
type Stats struct {
	Messages     int   `json:"messages"`
	Deliveries   int   `json:"deliveries"`
	Destinations int   `json:"destinations"`
	Bytes        int64 `json:"bytes"`      // of bodies in the queue
	FileSize     int64 `json:"file_size"`  // of the database
	FileFree     int64 `json:"file_free"`  // unused within it
	DiskFree     int64 `json:"disk_free"`  // on its file system
	DiskFloor    int64 `json:"disk_floor"` // below this nothing is accepted
}
