package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"postrider/delivery/local"
	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/internal/config"
	"postrider/internal/submission"
	"postrider/internal/sysexits"
	"postrider/policy"
	"postrider/queue"
)

// routeTracer follows an address to all that it comes to.
type routeTracer struct {
	cfg   *config.Config
	uid   int     // who asks
	given *string // the reverse-path asked for; nil for that of who asks

	routes    *policy.Routes
	masks     *policy.Masquerades
	expander  *aliases.Expander
	mailboxes *local.Mailboxes
	users     map[string]bool // those that get the mail already
	report    *routeReport
}

// trace fills a report, which is there, as far as it got, also with an error.
func (t *routeTracer) trace(ctx context.Context, to string) (*routeReport, error) {
	t.report = &routeReport{Address: to, Steps: []string{}, Leaves: []routeLeaf{}}
	t.routes, t.users = t.cfg.Routes(), map[string]bool{}
	t.expander = routeExpander(t.cfg, t.routes)
	var err error
	if t.masks, err = t.cfg.Masquerades(); err != nil {
		return t.report, exit(sysexits.Config, "%w", err)
	}
	if t.mailboxes, err = routeMailboxes(t.cfg); err != nil {
		return t.report, err
	}
	recipient, err := address.Parse(to)
	if err != nil {
		return t.report, exit(sysexits.DataErr, "%w", err)
	}
	from, err := t.sender()
	if err != nil {
		return t.report, err
	}
	recipient = recipient.Qualify(t.cfg.Origin)
	t.report.Address = recipient.String()
	t.recipient(ctx, from, recipient)
	if err := t.findHosts(ctx); err != nil {
		return t.report, err
	}
	return t.report, t.verdict()
}

// sender finds the reverse-path that mail of who asks would have.
func (t *routeTracer) sender() (address.Address, error) {
	given, err := t.asked()
	if err != nil {
		return given, err
	}
	given = given.Qualify(t.cfg.Origin)
	t.report.From = reversePath(given)
	intake := submission.New(submission.Options{Origin: t.cfg.Origin, Senders: t.cfg.Senders()})
	from, rule, err := intake.Sender(queue.Origin{Via: queue.ViaSocket, UID: t.uid}, given)
	var refused *submission.Error
	if errors.As(err, &refused) {
		return from, exit(refused.Exit, "mail would be refused: %w", refused)
	}
	if from != given {
		t.report.From, t.report.GivenFrom = reversePath(from), reversePath(given)
		t.step("a sender rule makes the reverse-path %s in place of %s", reversePath(from), reversePath(given))
	}
	if rule != nil && !rule.From.IsNull() {
		t.report.HeaderFrom = rule.From.String()
		t.step("a sender rule makes %s the address of the From field", rule.From)
	}
	return from, nil
}

// asked is the reverse-path before any rule.
func (t *routeTracer) asked() (address.Address, error) {
	if t.given == nil {
		login, _, err := submission.LookupUser(t.uid)
		if err != nil {
			return address.Address{}, exit(sysexits.OSErr, "%w", err)
		}
		return address.Address{Local: login}, nil
	}
	a, warning, err := address.ParseReversePath(*t.given)
	if err != nil {
		return a, exit(sysexits.DataErr, "--from: %w", err)
	}
	if warning != "" {
		t.step("%s", warning)
	}
	return a, nil
}

// recipient follows the address that was asked for.
func (t *routeTracer) recipient(ctx context.Context, from, to address.Address) {
	leaves := []aliases.Leaf{{Address: to}}
	if t.routes.Route(from, to).Kind == policy.Local {
		e := t.expander.Expand(ctx, to)
		t.report.Steps = append(t.report.Steps, e.Steps...)
		if leaves = e.Leaves; e.Refused != nil {
			leaves = []aliases.Leaf{{Address: to, Refused: e.Refused}}
		}
	}
	t.follow(ctx, from, leaves)
}

// follow reports the leaves of an expansion, and goes on where a user says where
// mail goes instead.
func (t *routeTracer) follow(ctx context.Context, from address.Address, leaves []aliases.Leaf) {
	for _, l := range leaves {
		if t.storeKnows(l.Refused) {
			l.Refused, l.Target = nil, queue.Target{Kind: queue.TargetMailbox, Value: l.Address.Local}
		}
		own := from
		if l.ReversePath != nil && !from.IsNull() {
			own = *l.ReversePath
		}
		if l.Refused == nil && t.isCopy(l.Target) {
			t.step("%s has it by another name already", l.Target.Value)
			continue
		}
		if !t.followForward(ctx, own, &l) {
			t.leaf(own, l)
		}
	}
}

// isCopy reports whether the user gets the mail anyway, and notes that from now on.
func (t *routeTracer) isCopy(to queue.Target) bool {
	if to.Kind != queue.TargetUser && to.Kind != queue.TargetMailbox {
		return false
	}
	key := fmt.Sprint(to)
	again := t.users[key]
	t.users[key] = true
	return again
}

// followForward goes on by the user's .forward, if there is one that can be
// followed.
func (t *routeTracer) followForward(ctx context.Context, from address.Address, l *aliases.Leaf) bool {
	if l.Refused != nil || l.Target.Kind != queue.TargetUser {
		return false
	}
	text, ok := t.forward(l.Target.Value)
	if !ok {
		return false
	}
	e := t.expander.Forward(ctx, l.Target.Value, l.Address, l.Via, text)
	t.report.Steps = append(t.report.Steps, e.Steps...)
	if l.Refused = e.Refused; e.Refused != nil {
		return false
	}
	t.follow(ctx, from, e.Leaves)
	return true
}

// storeKnows reports whether a user that is unknown here may be one of the mail
// store's.
func (t *routeTracer) storeKnows(r *aliases.Refusal) bool {
	return isUnknown(r) && strings.HasPrefix(t.cfg.Local.Mailbox, "lmtp:")
}

// statusUnknown is "bad destination mailbox address" (RFC 3463 §3.2).
const statusUnknown = "5.1.1"

func isUnknown(r *aliases.Refusal) bool {
	return r != nil && !r.Temporary && r.Status == statusUnknown
}

// leaf reports one recipient with its way.
func (t *routeTracer) leaf(from address.Address, l aliases.Leaf) {
	out := routeLeaf{Address: l.Address.String(), From: reversePath(from), Via: []string{}, Smarthosts: []routeSmarthost{}, Hosts: []routeHost{}}
	for _, a := range l.Via {
		out.Via = append(out.Via, a.String())
	}
	if l.Refused != nil {
		out.fail(l.Refused.Temporary, l.Refused.Text)
		out.unknown = isUnknown(l.Refused)
	}
	way := t.routes.Route(from, l.Address)
	if l.Target.Kind != queue.TargetAddress {
		way = policy.Route{Kind: policy.Local, Destination: policy.LocalDestination, Reason: "local domain"}
	}
	out.Destination, out.Reason = way.Destination, way.Reason
	switch way.Kind {
	case policy.Local:
		out.Route = "local"
		if l.Refused == nil {
			t.deposit(&out, l)
		}
	case policy.Relay:
		out.Route = "relay"
		t.leave(&out, from)
		out.relays(way, from, l.Address)
	default:
		out.Route, out.TLS = "direct", directTLS(way.TLS)
		t.leave(&out, from)
		out.hops = []hop{{name: way.NextHop, port: uint16(t.cfg.Delivery.Port), byMX: true}}
	}
	t.report.Leaves = append(t.report.Leaves, out)
}

// leave masquerades the sender of mail to another host, and tells of each once.
func (t *routeTracer) leave(out *routeLeaf, from address.Address) {
	to, changed := t.masks.Rewrite(from)
	if !changed {
		return
	}
	out.From = reversePath(to)
	if reversePath(from) == t.report.From {
		t.report.RewrittenFrom = reversePath(to)
	}
	told := fmt.Sprintf("where it leaves this host, its sender %s is masqueraded as %s", reversePath(from), reversePath(to))
	if !slices.Contains(t.report.Steps, told) {
		t.step("%s", told)
	}
}

// deposit says where on this host mail goes.
func (t *routeTracer) deposit(out *routeLeaf, l aliases.Leaf) {
	switch l.Target.Kind {
	case queue.TargetFile:
		out.Target, out.User = "file:"+l.Target.Value, cmp.Or(l.Target.User, t.cfg.Local.DefaultUser)
	case queue.TargetCommand:
		out.Target, out.User = "command:"+l.Target.Value, cmp.Or(l.Target.User, t.cfg.Local.DefaultUser)
	default:
		out.Target = t.cfg.Local.Mailbox
		if out.Target == "off" {
			out.fail(false, "local delivery is off (local.mailbox)")
			return
		}
		home := "{home}"
		if u, err := local.LookupUser(l.Target.Value); err == nil && u != nil {
			home = u.Home
		}
		out.Target = strings.NewReplacer("{user}", l.Target.Value, "{home}", home, "{domain}", strings.ToLower(l.Address.Domain)).Replace(out.Target)
	}
}

func (l *routeLeaf) fail(temporary bool, text string) {
	l.Outcome, l.Error = bounced, text
	if temporary {
		l.Outcome = deferred
	}
}

func (t *routeTracer) step(format string, args ...any) {
	t.report.Steps = append(t.report.Steps, fmt.Sprintf(format, args...))
}

// verdict is an error if nobody would get the mail because there is no such user.
func (t *routeTracer) verdict() error {
	if len(t.report.Leaves) == 0 {
		return nil
	}
	for _, l := range t.report.Leaves {
		if !l.unknown {
			return nil
		}
	}
	return exit(sysexits.NoUser, "%s", t.report.Leaves[0].Error)
}
