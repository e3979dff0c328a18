package delivery

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"postrider/delivery/lmtp"
	"postrider/delivery/local"
	"postrider/delivery/smtp"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/mx"
	"postrider/policy"
	"postrider/queue"
	"postrider/queue/schedule"
)

// Messages are those in the queue; queue.Store implements it.
type Messages interface {
	Body(ctx context.Context, id queue.ID) (io.ReadCloser, error)
	Get(ctx context.Context, id queue.ID) (*queue.Entry, error)
}

// Router decides ways; policy.Routes implements it.
type Router interface {
	Route(from, to address.Address) policy.Route
}

// Resolver finds hosts; mx.Resolver implements it.
type Resolver interface {
	Lookup(ctx context.Context, nextHop string) (*mx.Hosts, error)
	LookupHost(ctx context.Context, name string) (*mx.Hosts, error)
}

// Mailboxes delivers to this host's users; local.Mailboxes implements it.
type Mailboxes interface {
	// Deliver delivers a message, or answers with the text of a .forward.
	Deliver(ctx context.Context, e local.Envelope, open func() (io.ReadCloser, error)) local.Outcome
	// Forward only looks for the .forward of a user.
	Forward(ctx context.Context, user string) local.Outcome
}

// Expander says what local addresses stand for; aliases.Expander implements it.
type Expander interface {
	Expand(ctx context.Context, to address.Address) aliases.Expansion
	Forward(ctx context.Context, user string, to address.Address, via []address.Address, text string) aliases.Expansion
}

// MailStore takes the mail of all users; lmtp.Client implements it.
type MailStore interface {
	Deliver(ctx context.Context, t lmtp.Target, e lmtp.Envelope, open func() (io.ReadCloser, error)) []lmtp.Outcome
}

// Options are an Agent's parts and settings.
type Options struct {
	Messages  Messages
	Router    Router
	Resolver  Resolver
	Client    *smtp.Client
	Mailboxes Mailboxes
	Expander  Expander
	// MailStore takes what would go into mailboxes, at StoreAddress, if not nil.
	MailStore    MailStore
	StoreAddress lmtp.Target
	// Masquerade rewrites senders of mail that leaves this host; nil for none.
	Masquerade *policy.Masquerades
	// Hostname for EHLO.
	Hostname string
	// Port of direct deliveries.
	Port uint16
	// Bind are source addresses, at most one a family.
	Bind []netip.Addr
	// RootCAs to verify relays and secure destinations with; nil: the system's.
	RootCAs *x509.CertPool
	// MessagesPerConnection before a connection is closed.
	MessagesPerConnection int
	Logger                *slog.Logger
}

// Agent attempts deliveries. It implements schedule.Agent and is safe for
// concurrent use.
type Agent struct {
	Options
}

// New makes an Agent.
func New(o Options) *Agent { return &Agent{Options: o} }

// Site implements schedule.Agent: destinations with the same MX hosts are one site.
func (a *Agent) Site(ctx context.Context, destination string) string {
	if isHere(destination) || isRelay(destination) {
		return destination
	}
	hosts, err := a.Resolver.Lookup(ctx, destination)
	if err != nil {
		return destination
	}
	return hosts.Site()
}

// isHere tells whether mail for the destination is delivered on this host.
func isHere(destination string) bool {
	return destination == policy.LocalDestination || strings.HasPrefix(destination, policy.CommandPrefix)
}

// Deliver implements schedule.Agent.
func (a *Agent) Deliver(ctx context.Context, w *queue.Work) schedule.Verdict {
	t := newAttempt(ctx, a, w)
	route, ok := t.sort()
	switch {
	case !ok:
	case route.Kind == policy.Local:
		t.deliverLocally(ctx)
	case route.Kind == policy.Relay:
		t.relay(ctx, route)
	default:
		t.direct(ctx, route)
	}
	return t.verdict(ctx)
}

// attempt is the state of one Deliver call.
type attempt struct {
	agent   *Agent
	work    *queue.Work
	started time.Time
	// pending are the indexes of recipients not decided on, in order.
	pending  []int
	outcomes []queue.Outcome
	tries    []queue.Try
	moved    map[int]string
	added    []queue.Added
	// users are those who get the message by this attempt, or by what it adds; has
	// are the mailboxes that have it.
	users   map[queue.Target]bool
	has     map[string]bool
	looked  bool
	content *content
	// good says that some host took a transaction to its end; unreachable that a
	// host could not be talked to.
	good, unreachable bool
	// last is, by recipient, why it is still undecided.
	last map[int]queue.Outcome
}

func newAttempt(ctx context.Context, a *Agent, w *queue.Work) *attempt {
	return &attempt{agent: a, work: w, started: time.Now(), content: newContent(ctx, a, w),
		last: map[int]queue.Outcome{}}
}

// sort parts the recipients that still belong to the destination from those that
// have to move. ok is false if none is left to try.
func (t *attempt) sort() (route policy.Route, ok bool) {
	m := t.work.Message
	for _, r := range t.work.Delivery.Recipients {
		if r.Result.Ended() {
			continue
		}
		way := t.agent.route(m.ReversePathOf(r.Index), m.Recipients[r.Index])
		if way.Destination != t.work.Delivery.Destination {
			if t.moved == nil {
				t.moved = map[int]string{}
			}
			t.moved[r.Index] = way.Destination
			continue
		}
		route, ok = way, true
		t.pending = append(t.pending, r.Index)
	}
	return route, ok
}

// decide notes the outcome of a recipient, which is not tried any further.
func (t *attempt) decide(o queue.Outcome) {
	t.outcomes = append(t.outcomes, o)
	for i, index := range t.pending {
		if index == o.Index {
			t.pending = append(t.pending[:i:i], t.pending[i+1:]...)
			return
		}
	}
}

// verdict sums up. When ctx has ended, what no host has decided on stays as it
// was: it was us who broke off.
func (t *attempt) verdict(ctx context.Context) schedule.Verdict {
	reason := ""
	if ctx.Err() != nil {
		t.pending = nil
	}
	for _, index := range append([]int(nil), t.pending...) {
		o, ok := t.last[index]
		if !ok {
			o = queue.Outcome{Index: index, Result: queue.Temporary, Status: "4.4.0", Reply: "no host could be tried"}
		}
		reason = oneLine(o.Reply)
		t.decide(o)
	}
	v := schedule.Verdict{
		Attempt: queue.Attempt{
			Started: t.started, Took: time.Since(t.started), Tries: t.tries,
			Outcomes: t.outcomes, Destination: t.work.Delivery.Destination,
		},
		Move:      t.moved,
		Added:     t.added,
		Uncounted: len(t.outcomes) == 0,
		Reason:    reason,
	}
	switch {
	case t.good:
		v.Health = schedule.Good
	case t.unreachable:
		v.Health = schedule.Unreachable
	}
	return v
}

// route decides the way of a recipient. What alias and .forward files name beside
// addresses is on this host.
func (a *Agent) route(from address.Address, r queue.Recipient) policy.Route {
	switch r.Target.Kind {
	case queue.TargetAddress:
		return a.Router.Route(from, r.Address)
	case queue.TargetCommand:
		return policy.Route{Kind: policy.Local, Destination: policy.CommandPrefix + r.Target.User}
	}
	return policy.Route{Kind: policy.Local, Destination: policy.LocalDestination}
}
