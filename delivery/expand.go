package delivery

import (
	"fmt"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/queue"
)

// statusUnknown is "bad destination mailbox address" (RFC 3463 §3.2).
const statusUnknown = "5.1.1"

// statusLoop is "routing loop detected" (RFC 3463 §3.5).
const statusLoop = "5.4.6"

// expanded ends a recipient that others take the place of. An expansion that is
// not complete for now is made again, whole.
func (t *attempt) expanded(index int, e aliases.Expansion, how string) {
	if e.Refused != nil {
		t.decide(refusal(index, e.Refused))
		return
	}
	for _, leaf := range e.Leaves {
		if leaf.Refused != nil && leaf.Refused.Temporary {
			t.decide(refusal(index, leaf.Refused))
			return
		}
	}
	parent := t.work.Message.Recipients[index]
	for _, leaf := range e.Leaves {
		t.add(parent, leaf, len(e.Leaves) == 1)
	}
	what := fmt.Sprintf("%d recipients", len(e.Leaves))
	if len(e.Leaves) == 1 {
		what = e.Leaves[0].Address.String()
	}
	t.decide(queue.Outcome{Index: index, Result: queue.Expanded, Status: "2.0.0", Reply: how + " to " + what})
}

// add gives the message a recipient in the place of another one.
func (t *attempt) add(parent queue.Recipient, leaf aliases.Leaf, only bool) {
	if t.agent.MailStore != nil && (unknown(leaf.Refused) || isItself(leaf)) {
		leaf.Refused, leaf.Target = nil, queue.Target{Kind: queue.TargetMailbox, Value: leaf.Address.Local}
	}
	r := queue.Recipient{
		Address: leaf.Address, Target: leaf.Target, Via: leaf.Via, ReversePath: leaf.ReversePath,
		Original: parent.Original, Notify: notify(parent.Notify, only),
	}
	if r.ReversePath == nil {
		r.ReversePath = parent.ReversePath
	}
	if leaf.ReversePath != nil {
		// The list's owner never asked for reports (RFC 3461 §5.2.7.1).
		r.Original, r.Notify = "", 0
	} else if r.Original == "" {
		r.Original = "rfc822;" + parent.Address.String()
	}
	if userOf(r.Target) != "" && leaf.Refused == nil {
		if t.users[r.Target] {
			return
		}
		t.users[r.Target] = true
	}
	added := queue.Added{Recipient: r, Destination: t.destination(r), Unique: r.Target.Kind != queue.TargetUser}
	if leaf.Refused != nil {
		o := refusal(0, leaf.Refused)
		added.Outcome, added.Unique = &o, false
	}
	t.added = append(t.added, added)
}

func (t *attempt) destination(r queue.Recipient) string {
	from := t.work.Message.Envelope.ReversePath
	if r.ReversePath != nil && !from.IsNull() {
		from = *r.ReversePath
	}
	return t.agent.route(from, r).Destination
}

// notify says which reports the sender is owed on a recipient that was added. The
// success of several is told as that of the expansion (RFC 3461 §5.2.7.3).
func notify(n queue.Notify, only bool) queue.Notify {
	if only || n&queue.NotifySuccess == 0 {
		return n
	}
	if n &^= queue.NotifySuccess; n == 0 {
		return queue.NotifyNever
	}
	return n
}

func refusal(index int, r *aliases.Refusal) queue.Outcome {
	o := queue.Outcome{Index: index, Result: queue.Failed, Status: r.Status, Reply: r.Text}
	if r.Temporary {
		o.Result = queue.Temporary
	}
	return o
}

func unknown(r *aliases.Refusal) bool { return r != nil && !r.Temporary && r.Status == statusUnknown }

// isItself tells of an alias that names itself, where no user is called so.
func isItself(l aliases.Leaf) bool {
	return l.Refused != nil && l.Refused.Status == statusLoop && len(l.Via) > 0 && l.Via[len(l.Via)-1].Equal(l.Address)
}

// userOf names whose mailbox a target is or may be; empty for others.
func userOf(t queue.Target) string {
	switch t.Kind {
	case queue.TargetUser, queue.TargetMailbox:
		return t.Value + "\x00" + t.Extension
	}
	return ""
}

// looped tells whether the message was expanded for this address before.
func (t *attempt) looped(to address.Address) *aliases.Refusal {
	seen, err := local.Looped(to, t.content.stored)
	switch {
	case err != nil:
		return &aliases.Refusal{Temporary: true, Status: "4.3.0", Text: err.Error()}
	case seen:
		return &aliases.Refusal{Status: statusLoop, Text: fmt.Sprintf("mail forwarding loop for %s: the message was delivered to it before", to)}
	}
	return nil
}
