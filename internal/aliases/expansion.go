package aliases

import (
	"postrider/internal/address"
	"postrider/queue"
)

// Expansion is what an address comes to.
type Expansion struct {
	// Leaves in the order of the files, without duplicates. An address that is a
	// user's own has the one leaf of kind queue.TargetUser with no Via.
	Leaves []Leaf
	// Steps tell people how it came to that, one line each.
	Steps []string
	// Refused, if not nil, says why there is no expansion now, or at all.
	Refused *Refusal
}

// Leaf is one recipient that an expansion ends in.
type Leaf struct {
	// Address is that of another host's recipient, or of the local user or list the
	// target belongs to, completed with a domain.
	Address address.Address
	// Target says what to deliver into; of kind queue.TargetAddress for another
	// host's recipient.
	Target queue.Target
	// Via are the addresses expanded on the way, the first one first.
	Via []address.Address
	// ReversePath, if set, is the owner of a list on the way.
	ReversePath *address.Address
	// Refused, if not nil, says why nothing can be delivered to this one.
	Refused *Refusal
}

// Refusal says why something is not delivered.
type Refusal struct {
	// Temporary tells trouble that may end by itself, or that an administrator can
	// mend, from a permanent refusal.
	Temporary bool
	// Status is the enhanced status code (RFC 3463).
	Status string
	// Text says in one line what is wrong and, if somebody can mend it, how.
	Text string
}
