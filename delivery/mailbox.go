package delivery

import (
	"context"
	"fmt"
	"io"

	"postrider/delivery/lmtp"
	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/policy"
	"postrider/queue"
	"postrider/queue/schedule"
)

// deposit is a recipient whose mail is to be put somewhere on this host.
type deposit struct {
	index  int
	target queue.Target
	to     address.Address
}

// deliverLocally expands what has to be and delivers the rest. Recipients that an
// expansion adds are attempted on their own, after this attempt is recorded: then
// they are in the queue, and no trouble with one of them repeats another.
func (t *attempt) deliverLocally(ctx context.Context) {
	t.users, t.has = map[queue.Target]bool{}, map[string]bool{}
	var forStore []deposit
	for _, d := range t.expand(ctx) {
		if ctx.Err() != nil {
			return
		}
		switch copied, err := t.isCopy(ctx, d); {
		case err != nil:
			t.decide(queue.Outcome{Index: d.index, Result: queue.Temporary, Status: "4.3.0", Reply: err.Error()})
		case copied:
			t.decide(queue.Outcome{Index: d.index, Result: queue.Merged, Status: "2.0.0", Reply: "the mailbox has the message by another recipient"})
		case t.agent.MailStore == nil || userOf(d.target) == "":
			t.deposit(ctx, d)
		case t.mayStore(ctx, d):
			t.has[userOf(d.target)] = true
			forStore = append(forStore, d)
		}
	}
	t.store(ctx, forStore)
	t.good = true
}

// expand looks every pending recipient up that is an address yet, and gives those
// that are to be delivered.
func (t *attempt) expand(ctx context.Context) []deposit {
	m := t.work.Message
	var deposits []deposit
	later := map[int]aliases.Expansion{}
	for _, index := range t.pending {
		r := m.Recipients[index]
		if r.Target.Kind != queue.TargetAddress {
			deposits = append(deposits, deposit{index, r.Target, r.Address})
			continue
		}
		e := t.agent.Expander.Expand(ctx, r.Address)
		switch {
		case len(e.Leaves) == 1 && e.Refused == nil && isOwn(e.Leaves[0]):
			deposits = append(deposits, deposit{index, e.Leaves[0].Target, r.Address})
		case t.agent.MailStore != nil && unknown(e.Refused), t.agent.MailStore != nil && len(e.Leaves) == 1 && len(e.Leaves[0].Via) == 0 && unknown(e.Leaves[0].Refused):
			// Only the store knows its users.
			deposits = append(deposits, deposit{index, queue.Target{Kind: queue.TargetMailbox, Value: r.Address.Local}, r.Address})
		default:
			later[index] = e
		}
	}
	// A mailbox that gets the message anyway needs no copy by a list.
	for _, d := range deposits {
		if userOf(d.target) != "" {
			t.users[d.target] = true
		}
	}
	for _, index := range append([]int(nil), t.pending...) {
		e, ok := later[index]
		if !ok {
			continue
		}
		if e.Refused == nil {
			e.Refused = t.looped(m.Recipients[index].Address)
		}
		t.expanded(index, e, "expanded")
	}
	return deposits
}

// isOwn tells whether an address is the user's own.
func isOwn(l aliases.Leaf) bool {
	return l.Refused == nil && len(l.Via) == 0 && l.ReversePath == nil && userOf(l.Target) != ""
}

// isCopy tells whether the mailbox has the message already. What the sender named
// is no copy of anything.
func (t *attempt) isCopy(ctx context.Context, d deposit) (bool, error) {
	if len(t.work.Message.Recipients[d.index].Via) == 0 {
		return false, nil
	}
	if err := t.look(ctx); err != nil {
		return false, err
	}
	return t.has[userOf(d.target)], nil
}

// look finds the mailboxes that the message has been delivered to.
func (t *attempt) look(ctx context.Context) error {
	if t.looked {
		return nil
	}
	t.looked = true
	e, err := t.agent.Messages.Get(ctx, t.work.Message.ID)
	if err != nil {
		return fmt.Errorf("see where message %s has been delivered: %w", t.work.Message.ID, err)
	}
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			if r.Result == queue.Delivered {
				t.has[userOf(t.targetOf(ctx, e.Message.Recipients[r.Index]))] = true
			}
		}
	}
	delete(t.has, "")
	return nil
}

// targetOf gives the target that a recipient was delivered to.
func (t *attempt) targetOf(ctx context.Context, r queue.Recipient) queue.Target {
	if r.Target.Kind != queue.TargetAddress || t.agent.Router.Route(t.work.Message.Envelope.ReversePath, r.Address).Kind != policy.Local {
		return r.Target
	}
	if e := t.agent.Expander.Expand(ctx, r.Address); len(e.Leaves) == 1 && isOwn(e.Leaves[0]) {
		return e.Leaves[0].Target
	}
	return r.Target
}

// deposit delivers to one recipient.
func (t *attempt) deposit(ctx context.Context, d deposit) {
	m := t.work.Message
	r := m.Recipients[d.index]
	res := t.agent.Mailboxes.Deliver(ctx, local.Envelope{
		From: m.ReversePathOf(d.index), To: d.to, Original: original(r), Target: d.target, Via: r.Via,
	}, t.content.stored)
	t.settle(ctx, d, res)
}

// settle takes over what local delivery said.
func (t *attempt) settle(ctx context.Context, d deposit, res local.Outcome) {
	if res.Result != queue.Expanded {
		if key := userOf(d.target); key != "" && res.Result == queue.Delivered {
			t.has[key] = true
		}
		t.decide(queue.Outcome{Index: d.index, Result: res.Result, Status: res.Status, Reply: res.Text})
		return
	}
	e := t.agent.Expander.Forward(ctx, d.target.Value, d.to, t.work.Message.Recipients[d.index].Via, res.Forward)
	// Nothing went to this user yet, so that others may still name the user.
	delete(t.users, d.target)
	t.expanded(d.index, e, "forwarded")
}

// original is the recipient as the sender wrote it.
func original(r queue.Recipient) string {
	if r.Original == "" && len(r.Via) > 0 {
		return r.Via[0].String()
	}
	return r.Original
}

// mayStore tells whether a user's mail goes to the mail store, and not where a
// .forward says.
func (t *attempt) mayStore(ctx context.Context, d deposit) bool {
	if refused := t.looped(d.to); refused != nil {
		t.decide(refusal(d.index, refused))
		return false
	}
	if d.target.Kind != queue.TargetUser {
		return true
	}
	res := t.agent.Mailboxes.Forward(ctx, d.target.Value)
	if res.Result == queue.Pending {
		return true
	}
	t.settle(ctx, d, res)
	return false
}

// store hands the message to the mail store, in one transaction for each
// reverse-path.
func (t *attempt) store(ctx context.Context, deposits []deposit) {
	m := t.work.Message
	for len(deposits) > 0 && ctx.Err() == nil {
		from := m.ReversePathOf(deposits[0].index)
		e := lmtp.Envelope{From: from, Body: m.Envelope.Body, SMTPUTF8: m.Envelope.SMTPUTF8, Size: m.Size}
		var now, rest []deposit
		for _, d := range deposits {
			if m.ReversePathOf(d.index) != from {
				rest = append(rest, d)
				continue
			}
			now = append(now, d)
			r := m.Recipients[d.index]
			e.Recipients = append(e.Recipients, lmtp.Recipient{Address: d.to, Original: r.Original, Notify: r.Notify})
		}
		leave := func() {}
		e.OnData = func() {
			leave() // of the transaction before, where recipients were split
			leave = schedule.InTransfer(ctx)
		}
		open := func() (io.ReadCloser, error) { return t.content.outgoing(forStore, "") }
		outcomes := t.agent.MailStore.Deliver(ctx, t.agent.StoreAddress, e, open)
		leave()
		for i, o := range outcomes {
			if ctx.Err() == nil || o.Result != queue.Temporary { // else it was us who broke off
				t.decide(queue.Outcome{Index: now[i].index, Result: o.Result, Code: o.Code, Status: o.Status, Reply: o.Text})
			}
		}
		deposits = rest
	}
}
