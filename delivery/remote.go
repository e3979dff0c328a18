package delivery

import (
	"context"
	"errors"
	"net/netip"
	"strings"

	"postrider/delivery/smtp"
	"postrider/mx"
	"postrider/policy"
	"postrider/queue"
	"postrider/queue/schedule"
)

// maxTries bounds the host addresses of one attempt: the rest wait for the next,
// which shuffles equals anew.
const maxTries = 6

// condition is what holds for every host of one list.
type condition struct {
	port     uint16
	tls      smtp.TLSMode
	implicit bool
	auth     *smtp.Credentials
	relay    bool // one of our smarthosts
}

func isRelay(destination string) bool { return strings.HasPrefix(destination, policy.RelayPrefix) }

func (t *attempt) direct(ctx context.Context, route policy.Route) {
	hosts, err := t.agent.Resolver.Lookup(ctx, route.NextHop)
	if err != nil {
		t.lookupFailed(route.NextHop, err, false)
		return
	}
	t.tryHosts(ctx, hosts, condition{port: t.agent.Port, tls: tlsMode(route.TLS)})
}

// relay tries the smarthosts in order. Trouble with one of them is trouble of our
// own: it never fails a recipient, only the relay's word on the mail does.
func (t *attempt) relay(ctx context.Context, route policy.Route) {
	for _, s := range route.Smarthosts {
		if len(t.pending) == 0 || ctx.Err() != nil {
			return
		}
		t.relayBy(ctx, s)
	}
}

func (t *attempt) relayBy(ctx context.Context, s policy.Smarthost) {
	host, port, byMX := s.NextHop()
	auth, err := readCredentials(s)
	if err != nil {
		t.putOff("4.3.5", err.Error())
		t.tries = append(t.tries, queue.Try{Host: host, Error: err.Error()})
		return
	}
	lookup := t.agent.Resolver.LookupHost
	if byMX {
		lookup = t.agent.Resolver.Lookup
	}
	hosts, err := lookup(ctx, host)
	if err != nil {
		t.lookupFailed(host, err, true)
		return
	}
	t.tryHosts(ctx, hosts, condition{port: port, tls: tlsMode(s.TLS), implicit: s.Implicit, auth: auth, relay: true})
}

// lookupFailed sorts a failed look-up: an authoritative "no" about the
// recipient's own domain fails the recipients, all else is temporary.
func (t *attempt) lookupFailed(name string, err error, ours bool) {
	t.tries = append(t.tries, queue.Try{Host: name, Error: err.Error()})
	var e *mx.Error
	if !errors.As(err, &e) {
		t.putOff("4.4.3", err.Error())
		return
	}
	if ours || e.Temporary() {
		status := e.Status()
		if !strings.HasPrefix(status, "4") {
			status = "4.4.3"
		}
		t.putOff(status, err.Error())
		return
	}
	for _, index := range append([]int(nil), t.pending...) {
		t.decide(queue.Outcome{Index: index, Result: queue.Failed, Status: e.Status(), Reply: err.Error()})
	}
}

// putOff notes why the undecided recipients are put off, should no host decide.
func (t *attempt) putOff(status, text string) {
	for _, index := range t.pending {
		t.last[index] = queue.Outcome{Index: index, Result: queue.Temporary, Status: status, Reply: text}
	}
}

func (t *attempt) tryHosts(ctx context.Context, hosts *mx.Hosts, c condition) {
	tried := 0
	for _, h := range hosts.List {
		if h.Err != nil {
			t.tries = append(t.tries, queue.Try{Host: h.Name, Error: h.Err.Error()})
			if len(t.last) == 0 {
				t.putOff("4.4.3", h.Err.Error())
			}
		}
		for _, ip := range h.Addresses {
			if tried == maxTries {
				return
			}
			tried++
			if goOn := t.tryAddress(ctx, h, ip, c); !goOn || len(t.pending) == 0 || ctx.Err() != nil {
				return
			}
		}
	}
}

// tryAddress hands the message to one host address, in a transaction for each
// envelope that it has; goOn tells whether another host may be tried for what is
// left.
func (t *attempt) tryAddress(ctx context.Context, h mx.Host, ip netip.Addr, c condition) (goOn bool) {
	target := t.target(h, ip, c)
	goOn = true
	for _, e := range t.envelopes() {
		err := t.transact(ctx, h, target, c, e)
		switch {
		case err == nil:
		case err.NextHost() || ctx.Err() != nil:
			return err.NextHost()
		default:
			goOn = false
		}
	}
	return goOn
}

// transact makes one transaction.
func (t *attempt) transact(ctx context.Context, h mx.Host, target smtp.Target, c condition, e envelope) *smtp.Error {
	tx := t.transaction(e)
	leave := func() {}
	tx.OnData = func() {
		leave() // of the transaction before, where recipients were split
		leave = schedule.InTransfer(ctx)
	}
	report := t.agent.Client.Send(ctx, target, tx)
	leave()
	try := queue.Try{Host: h.Name, Address: target.Address.String(), TLS: report.TLS, Took: report.Took, Reused: report.Reused}
	if report.Err != nil {
		try.Error = report.Err.Error()
	}
	t.tries = append(t.tries, try)
	t.note(h, c, e, report)
	return report.Err
}

func (t *attempt) target(h mx.Host, ip netip.Addr, c condition) smtp.Target {
	a := t.agent
	target := smtp.Target{
		Host: h.Name, Address: netip.AddrPortFrom(ip, c.port), Hello: a.Hostname,
		TLS: c.tls, ImplicitTLS: c.implicit, RootCAs: a.RootCAs, Auth: c.auth,
		AllowPlainAuth: ip.IsLoopback(), MaxMessages: a.MessagesPerConnection,
	}
	for _, b := range a.Bind {
		if b.Is4() == ip.Is4() {
			target.LocalAddr = b
		}
	}
	return target
}

// note takes a host's words over as outcomes. What is not its last word on a
// recipient is kept for the case that there is no other host.
func (t *attempt) note(h mx.Host, c condition, env envelope, report *smtp.Report) {
	e := report.Err
	if e == nil {
		t.good = true
	} else {
		t.unreachable = t.unreachable || e.ConnectFailure()
	}
	final := e != nil && !e.NextHost() && !e.Temporary()
	for i, index := range env.recipients {
		o := outcome(index, h.Name, report.Results[i])
		if o.Result == queue.Failed && c.relay && e != nil && e.Phase < smtp.PhaseMail {
			// A relay of ours that does not talk to us is no reason to give mail up.
			o.Result = queue.Temporary
			o.Status = "4" + o.Status[1:]
		}
		t.last[index] = o
		if report.Results[i].Done || final && o.Result == queue.Failed {
			t.decide(o)
		}
	}
}

func outcome(index int, host string, res smtp.RecipientResult) queue.Outcome {
	o := queue.Outcome{Index: index, Code: res.Reply.Code, Status: res.Reply.Status, Reply: res.Reply.Text}
	if res.Reply.Remote {
		o.Remote = host
	}
	switch {
	case res.Reply.Positive() && res.DSN:
		o.Result = queue.Delivered
	case res.Reply.Positive():
		o.Result = queue.Relayed
	case res.Reply.Permanent():
		o.Result = queue.Failed
	default:
		o.Result = queue.Temporary
	}
	return o
}

func tlsMode(r policy.Requirement) smtp.TLSMode {
	switch r {
	case policy.Verified:
		return smtp.TLSVerify
	case policy.Clear:
		return smtp.TLSNone
	}
	return smtp.TLSOpportunistic
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
