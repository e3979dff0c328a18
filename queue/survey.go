package queue

import "time"

// ByHand, given to [Store.Suspend] for failures, marks a suspension that an
// administrator asked for: nobody else ends it.
const ByHand = -1

// ByHand reports whether an administrator keeps the destination suspended.
func (d Destination) ByHand(now time.Time) bool {
	return d.Failures == ByHand && d.Suspended.After(now)
}

// Survey says what waits: where, how long, from whom and why. Senders and Reasons
// are the most frequent ones, most first.
type Survey struct {
	// Destinations in order of name.
	Destinations []SurveyDestination
	// Senders counts messages by reverse-path.
	Senders []Tally
	// Reasons counts deliveries that were tried, by the last reply.
	Reasons []Tally
	// Tried is how many deliveries were tried before and wait; Sampled is how many
	// of them, taken evenly, Reasons counts.
	Tried, Sampled int
}

// SurveyDestination is a destination with its deliveries by age.
type SurveyDestination struct {
	Destination
	// Ages counts the deliveries that are not held: Ages[i] those of messages that
	// arrived after the i-th of the times asked for and not after the one before it;
	// the last one those that are older than all.
	Ages []int
	// Held counts those on hold.
	Held int
}

// Tally is how often something occurs.
type Tally struct {
	Value string
	Count int
}
