package control

import (
	"slices"
	"strings"

	"postrider/queue"
)

// senderView is an entry as the user who sent the message may see it: with the
// recipients that the user wrote, and without what alias and .forward files make of
// them. One that was expanded waits as long as anything it stands for does.
func senderView(e *queue.Entry) *queue.Entry {
	m := *e.Message
	m.Recipients = slices.Clip(m.Written())
	view := *e
	view.Message, view.Deliveries = &m, nil
	waiting := openBehind(e)
	for _, d := range e.Deliveries {
		shown := d
		shown.Recipients = nil
		for _, r := range d.Recipients {
			if r.Index < 0 || r.Index >= len(m.Recipients) {
				continue
			}
			if r.Result != queue.Expanded && r.Result != queue.Merged {
				shown.Recipients = append(shown.Recipients, r)
				continue
			}
			r.Reply, r.Remote = "", "" // they name others
			if open := waiting[r.Index]; open != nil {
				own := d
				own.State, own.Due = open.State, open.Due
				own.Recipients = []queue.DeliveryRecipient{{Index: r.Index}}
				view.Deliveries = append(view.Deliveries, own)
				continue
			}
			shown.Recipients = append(shown.Recipients, r)
		}
		if len(shown.Recipients) > 0 {
			view.Deliveries = append(view.Deliveries, shown)
		}
	}
	return &view
}

// openBehind gives, for the envelope's recipients by index, the state of what is not
// done of those that were added for it, and when the first of them is due.
func openBehind(e *queue.Entry) map[int]*queue.Delivery {
	places := make(map[string]int)
	for i, r := range e.Message.Written() {
		places[strings.ToLower(r.Address.String())] = i
	}
	open := make(map[int]*queue.Delivery)
	for _, d := range e.Deliveries {
		for _, r := range d.Recipients {
			via := e.Message.Recipients[r.Index].Via
			if r.Result.Ended() || len(via) == 0 {
				continue
			}
			i, ok := places[strings.ToLower(via[0].String())]
			if !ok {
				continue
			}
			first := open[i]
			if first == nil {
				first = &queue.Delivery{State: d.State, Due: d.Due}
				open[i] = first
			}
			if rank(d.State) > rank(first.State) {
				first.State = d.State
			}
			if d.Due.Before(first.Due) {
				first.Due = d.Due
			}
		}
	}
	return open
}

// senderHistory is what senderView is for an entry.
func senderHistory(e *queue.Entry, history []queue.Attempt) []queue.Attempt {
	own := len(e.Message.Written())
	var shown []queue.Attempt
	for _, a := range history {
		all := a.Outcomes
		a.Outcomes = nil
		for _, o := range all {
			if o.Index >= own {
				continue
			}
			if o.Result == queue.Expanded || o.Result == queue.Merged {
				o.Reply, o.Remote = "", ""
			}
			a.Outcomes = append(a.Outcomes, o)
		}
		if len(a.Outcomes) > 0 || own == len(e.Message.Recipients) {
			shown = append(shown, a)
		}
	}
	return shown
}
