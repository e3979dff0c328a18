package queue

import (
	"slices"
	"strings"
	"time"
)

// Filter selects entries. Its conditions hold together: an entry matches if it
// meets every one that is set. The zero Filter matches everything.
type Filter struct {
	IDs       []ID      `json:"ids,omitempty"`
	Sender    string    `json:"sender,omitempty"`    // whole reverse-path, "<>" for null, or "@domain"
	Recipient string    `json:"recipient,omitempty"` // whole address of one recipient
	Domain    string    `json:"domain,omitempty"`    // domain of one recipient
	State     State     `json:"state,omitempty"`     // of one delivery
	Before    time.Time `json:"before,omitzero"`     // arrived before
	After     time.Time `json:"after,omitzero"`      // arrived after
	UID       *int      `json:"uid,omitempty"`
	MessageID string    `json:"message_id,omitempty"`
	// Substrings as sendmail -qI, -qR, -qS take them, compared without case; Not
	// inverts the three together.
	IDContains        string `json:"id_contains,omitempty"`
	RecipientContains string `json:"recipient_contains,omitempty"`
	SenderContains    string `json:"sender_contains,omitempty"`
	Not               bool   `json:"not,omitempty"`
	// Written looks at the envelope's recipients alone, not at those that an alias
	// or .forward named.
	Written bool `json:"written,omitempty"`
}

// Match reports whether the entry meets every condition that is set.
func (f Filter) Match(e *Entry) bool {
	m := e.Message
	switch {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, m.ID):
	case f.UID != nil && m.Origin.UID != *f.UID:
	case !f.Before.IsZero() && !m.Arrival.Before(f.Before):
	case !f.After.IsZero() && !m.Arrival.After(f.After):
	case f.MessageID != "" && strings.Trim(m.MessageID, "<>") != strings.Trim(f.MessageID, "<>"):
	case f.Sender != "" && !f.matchSender(m):
	case f.Recipient != "" && !f.anyRecipient(m, func(a string) bool { return strings.EqualFold(a, f.Recipient) }):
	case f.Domain != "" && !slices.ContainsFunc(f.recipients(m), func(r Recipient) bool { return strings.EqualFold(r.Address.Domain, f.Domain) }):
	case f.State != 0 && !slices.ContainsFunc(e.Deliveries, func(d Delivery) bool { return d.State == f.State }):
	case !f.matchSubstrings(m):
	default:
		return true
	}
	return false
}

func (f Filter) matchSender(m *Message) bool {
	sender := m.Envelope.ReversePath
	if f.Sender == "<>" {
		return sender.IsNull()
	}
	if domain, ok := strings.CutPrefix(f.Sender, "@"); ok {
		return strings.EqualFold(sender.Domain, domain)
	}
	return strings.EqualFold(sender.String(), f.Sender)
}

func (f Filter) matchSubstrings(m *Message) bool {
	if f.IDContains == "" && f.RecipientContains == "" && f.SenderContains == "" {
		return true
	}
	hit := containsFold(m.ID.String(), f.IDContains) &&
		containsFold(m.Envelope.ReversePath.String(), f.SenderContains) &&
		(f.RecipientContains == "" || f.anyRecipient(m, func(a string) bool { return containsFold(a, f.RecipientContains) }))
	return hit != f.Not
}

// recipients are those that the filter looks at. Those of the envelope come first.
func (f Filter) recipients(m *Message) []Recipient {
	if !f.Written {
		return m.Recipients
	}
	return m.Written()
}

func (f Filter) anyRecipient(m *Message, ok func(string) bool) bool {
	return slices.ContainsFunc(f.recipients(m), func(r Recipient) bool { return ok(r.Address.String()) })
}

func containsFold(s, sub string) bool {
	return strings.Contains(strings.ToLower(s), strings.ToLower(sub))
}
