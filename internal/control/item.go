package control

import (
	"time"

	"postrider/queue"
)

// Item is a message as --json prints it. Its names are stable.
type Item struct {
	ID         queue.ID        `json:"id"`
	State      string          `json:"state"`
	Size       int64           `json:"size"`
	Arrival    time.Time       `json:"arrival"`
	Sender     string          `json:"sender"`
	UID        *int            `json:"uid"`
	Via        queue.Via       `json:"via"`
	MessageID  string          `json:"message_id"`
	HoldReason string          `json:"hold_reason,omitempty"`
	Expires    time.Time       `json:"expires"`
	Recipients []ItemRecipient `json:"recipients"`
}

// ItemRecipient is one recipient of an Item.
type ItemRecipient struct {
	Address     string     `json:"address"`
	State       string     `json:"state"`
	Destination string     `json:"destination"`
	Attempts    int        `json:"attempts"`
	NextAttempt *time.Time `json:"next_attempt"`
	LastReply   string     `json:"last_reply"`
	Status      string     `json:"status"`
	// ExpandedFrom are the addresses whose alias or .forward named this one, the one
	// that the sender wrote first; Target is what it said instead of an address.
	ExpandedFrom []string    `json:"expanded_from,omitempty"`
	Target       *ItemTarget `json:"target,omitempty"`
}

// ItemTarget is what mail for a local recipient goes into.
type ItemTarget struct {
	// Kind is "user", "mailbox", "file" or "command".
	Kind  string `json:"kind"`
	Value string `json:"value"`
	// User is on whose behalf a file is written or a command run.
	User string `json:"user,omitempty"`
}

// Details is an Item with its attempts.
type Details struct {
	Item
	EnvID    string          `json:"envid,omitempty"`
	Client   string          `json:"client,omitempty"`
	Command  string          `json:"command,omitempty"`
	Attempts []AttemptDetail `json:"attempts"`
}

// AttemptDetail is one attempt of Details.
type AttemptDetail struct {
	Started     time.Time       `json:"started"`
	Seconds     float64         `json:"seconds"`
	Destination string          `json:"destination,omitempty"`
	Note        string          `json:"note,omitempty"`
	Tries       []TryDetail     `json:"tries,omitempty"`
	Outcomes    []OutcomeDetail `json:"outcomes"`
}

// TryDetail is one host address of an attempt.
type TryDetail struct {
	Host    string  `json:"host,omitempty"`
	Address string  `json:"address,omitempty"`
	TLS     string  `json:"tls,omitempty"`
	Error   string  `json:"error,omitempty"`
	Seconds float64 `json:"seconds"`
}

// OutcomeDetail is one recipient's outcome of an attempt.
type OutcomeDetail struct {
	Address string `json:"address"`
	Result  string `json:"result"`
	Status  string `json:"status"`
	Reply   string `json:"reply"`
	Remote  string `json:"remote,omitempty"`
}

// NewItem makes the printed form of an entry.
func NewItem(e *queue.Entry) Item {
	m := e.Message
	item := Item{
		ID: m.ID, State: entryState(e).String(), Size: m.Size, Arrival: m.Arrival,
		Sender: m.Envelope.ReversePath.String(), Via: m.Origin.Via, MessageID: m.MessageID,
		HoldReason: e.HoldReason, Expires: m.Expires,
		Recipients: make([]ItemRecipient, 0, len(m.Recipients)),
	}
	if m.Origin.UID != queue.NoUID {
		item.UID = &m.Origin.UID
	}
	for i := range e.Deliveries {
		d := &e.Deliveries[i]
		for _, r := range d.Recipients {
			item.Recipients = append(item.Recipients, newItemRecipient(m, d, r))
		}
	}
	return item
}

func newItemRecipient(m *queue.Message, d *queue.Delivery, r queue.DeliveryRecipient) ItemRecipient {
	rcpt := m.Recipients[r.Index]
	out := ItemRecipient{
		Address: rcpt.Address.String(), Destination: d.Destination,
		State: d.State.String(), Attempts: d.Attempts, LastReply: r.Reply, Status: r.Status,
		Target: newTarget(rcpt.Target),
	}
	for _, via := range rcpt.Via {
		out.ExpandedFrom = append(out.ExpandedFrom, via.String())
	}
	if r.Result.Ended() {
		out.State = r.Result.String()
		return out
	}
	if d.State != queue.Held {
		out.NextAttempt = &d.Due
	}
	return out
}

func newTarget(t queue.Target) *ItemTarget {
	out := &ItemTarget{Value: t.Value, User: t.User}
	switch t.Kind {
	case queue.TargetUser:
		out.Kind = "user"
	case queue.TargetMailbox:
		out.Kind = "mailbox"
	case queue.TargetFile:
		out.Kind = "file"
	case queue.TargetCommand:
		out.Kind = "command"
	default:
		return nil
	}
	return out
}

// entryState sums the deliveries up: what is done now beats what waits.
func entryState(e *queue.Entry) queue.State {
	state := queue.Done
	for _, d := range e.Deliveries {
		if rank(d.State) > rank(state) {
			state = d.State
		}
	}
	return state
}

func rank(s queue.State) int {
	return [...]int{queue.Done: 1, queue.Deferred: 2, queue.Queued: 3, queue.Held: 4, queue.Active: 5}[s]
}

func newDetails(e *queue.Entry, history []queue.Attempt) *Details {
	m := e.Message
	out := &Details{Item: NewItem(e), EnvID: m.Envelope.EnvID, Client: m.Origin.Client, Command: m.Origin.Command}
	for _, a := range history {
		out.Attempts = append(out.Attempts, newAttemptDetail(m, a))
	}
	return out
}

func newAttemptDetail(m *queue.Message, a queue.Attempt) AttemptDetail {
	out := AttemptDetail{Started: a.Started, Seconds: a.Took.Seconds(), Destination: a.Destination, Note: a.Note}
	for _, t := range a.Tries {
		out.Tries = append(out.Tries, TryDetail{t.Host, t.Address, t.TLS, t.Error, t.Took.Seconds()})
	}
	for _, o := range a.Outcomes {
		if o.Index < 0 || o.Index >= len(m.Recipients) {
			continue
		}
		out.Outcomes = append(out.Outcomes, OutcomeDetail{m.Recipients[o.Index].Address.String(), o.Result.String(), o.Status, o.Reply, o.Remote})
	}
	return out
}
