package queue

import "time"

// State of a delivery, as administrators see it.
type State uint8

// The states of a delivery. Legal transitions:
//
//	queued → active            Claim
//	deferred → active          Claim, once due
//	active → queued, deferred  Release: as it was before
//	active → deferred          Record with recipients left
//	active → done              Record with none left
//	queued, deferred → held    Hold
//	held → queued, deferred    Unhold: as it was before
//	any but done → done        Conclude, Delete
const (
	Queued   State = iota + 1 // never tried
	Active                    // leased to someone who tries it
	Deferred                  // tried, waits for its next attempt
	Held                      // waits for an administrator
	Done                      // every recipient has ended
)

var stateNames = [...]string{Queued: "queued", Active: "active", Deferred: "deferred", Held: "held", Done: "done"}

// String gives the state's name as commands print it.
func (s State) String() string {
	if s < Queued || s > Done {
		return "invalid"
	}
	return stateNames[s]
}

// ParseState reads what String printed.
func ParseState(s string) (State, bool) {
	for i := Queued; i <= Done; i++ {
		if stateNames[i] == s {
			return i, true
		}
	}
	return 0, false
}

// DeliveryKey names one delivery: the Nth of a message.
type DeliveryKey struct {
	Message ID
	N       uint16
}

// Delivery is the unit of work: those recipients of one message that go to one
// destination.
type Delivery struct {
	Key DeliveryKey `cbor:"-"`
	// Destination is the scheduling key that policy gave these recipients when
	// they were last looked at; opaque here.
	Destination string `cbor:"1,keyasint"`
	State       State  `cbor:"2,keyasint"`
	// Attempts counts ended attempts.
	Attempts int `cbor:"3,keyasint,omitempty"`
	// Due is when the next attempt may start.
	Due         time.Time           `cbor:"4,keyasint"`
	LastAttempt time.Time           `cbor:"5,keyasint,omitzero"`
	Recipients  []DeliveryRecipient `cbor:"6,keyasint"`
}

// DeliveryRecipient is where one recipient of a delivery stands.
type DeliveryRecipient struct {
	// Index of the recipient in Message.Recipients.
	Index int `cbor:"1,keyasint"`
	// Result of the last attempt; Pending before the first.
	Result Result `cbor:"2,keyasint,omitempty"`
	// Reply, Status, Code, Remote: as in the last Outcome.
	Reply  string `cbor:"3,keyasint,omitempty"`
	Status string `cbor:"4,keyasint,omitempty"`
	Code   int    `cbor:"5,keyasint,omitempty"`
	Remote string `cbor:"6,keyasint,omitempty"`
	// Owed says that the sender has yet to be told of Result.
	Owed bool `cbor:"7,keyasint,omitempty"`
	// When the last outcome was recorded.
	At time.Time `cbor:"8,keyasint,omitzero"`
}

// Result classifies what became of a recipient.
type Result uint8

// The results. Pending and Temporary leave the recipient in the queue; the
// others end it.
const (
	Pending   Result = iota
	Temporary        // try again later
	Delivered        // final delivery, or handed to a host that takes over DSN duties
	Relayed          // handed to a host that does not know DSN (RFC 3461 §5.2.2)
	Failed           // permanently refused or given up
	Removed          // deleted by an administrator
	Expanded         // replaced by the recipients that an alias or .forward names
	Merged           // the same as another recipient, which gets the one copy
)

// Ended reports whether nothing more will be tried.
func (r Result) Ended() bool { return r >= Delivered }

var resultNames = [...]string{"pending", "deferred", "delivered", "relayed", "failed", "deleted", "expanded", "merged"}

// String gives the result's name as commands print it.
func (r Result) String() string {
	if int(r) >= len(resultNames) {
		return "invalid"
	}
	return resultNames[r]
}

// Outcome is what one attempt did for one recipient.
type Outcome struct {
	// Index of the recipient in Message.Recipients.
	Index  int    `cbor:"1,keyasint"`
	Result Result `cbor:"2,keyasint"`
	// Code is the SMTP reply code, zero if no remote said it.
	Code int `cbor:"3,keyasint,omitempty"`
	// Status is the enhanced status code (RFC 3463), always set unless Pending.
	Status string `cbor:"4,keyasint,omitempty"`
	// Reply is the remote's text verbatim, lines parted by \n and code included
	// ("550 5.1.1 no such user"), or our own words.
	Reply string `cbor:"5,keyasint,omitempty"`
	// Remote is the host that said Reply; empty if it is our own text.
	Remote string `cbor:"6,keyasint,omitempty"`
	// Owed says that the sender is to be told.
	Owed bool `cbor:"7,keyasint,omitempty"`
}

// Attempt is one try of one delivery, as history keeps it.
type Attempt struct {
	Started  time.Time     `cbor:"1,keyasint"`
	Took     time.Duration `cbor:"2,keyasint"`
	Tries    []Try         `cbor:"3,keyasint,omitempty"`
	Outcomes []Outcome     `cbor:"4,keyasint"`
	// Destination the delivery had.
	Destination string `cbor:"5,keyasint,omitempty"`
	// Note is a remark in words: why nothing was tried, who concluded it.
	Note string `cbor:"6,keyasint,omitempty"`
}

// Try is what happened with one host address within an attempt.
type Try struct {
	Host    string        `cbor:"1,keyasint,omitempty"`
	Address string        `cbor:"2,keyasint,omitempty"` // "ip:port"
	TLS     string        `cbor:"3,keyasint,omitempty"` // verdict and why
	Error   string        `cbor:"4,keyasint,omitempty"`
	Took    time.Duration `cbor:"5,keyasint,omitempty"`
	Reused  bool          `cbor:"6,keyasint,omitempty"`
}

// Destination is the summary kept for each destination with mail.
type Destination struct {
	Name string `cbor:"-"`
	// Count of deliveries not done, held ones included.
	Count int `cbor:"1,keyasint"`
	// Due is the earliest Due of a delivery that is neither held nor done; zero
	// when there is none. Leased deliveries count.
	Due time.Time `cbor:"2,keyasint,omitzero"`
	// Suspended, while in the future, keeps Claim from yielding anything.
	Suspended time.Time `cbor:"3,keyasint,omitzero"`
	// Reason of the suspension in words.
	Reason string `cbor:"4,keyasint,omitempty"`
	// Failures counts consecutive suspensions; the caller's to set.
	Failures int `cbor:"5,keyasint,omitempty"`
}

// Wake is when the destination has something to do; zero when it has nothing.
func (d Destination) Wake() time.Time {
	if d.Due.IsZero() || d.Suspended.Before(d.Due) {
		return d.Due
	}
	return d.Suspended
}
