package sendmail

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postrider/internal/address"
	"postrider/internal/aliases"
	"postrider/internal/sysexits"
	"postrider/policy"
	"postrider/queue"
)

// verify tells where each operand leads (-bv), in Sendmail's words, which scripts
// search for. It decides by what this host's files say: nobody is asked. What a
// user's .forward says is that user's to read.
func (r *run) verify(ctx context.Context) error {
	v := verifier{run: r, routes: r.cfg.Routes()}
	v.expander = r.expander(v.isLocal)
	found := false
	for _, operand := range r.opts.operands {
		good, bad := address.ParseList(operand)
		for _, b := range bad {
			v.unknown = true
			v.print(b.Text, fmt.Sprintf("User address required: %v", b.Err))
		}
		for _, a := range good {
			v.verify(ctx, a)
		}
		found = found || len(good)+len(bad) > 0
	}
	switch {
	case !found:
		return failf(sysexits.Usage, "option -bv needs addresses: there is none among the operands")
	case v.unknown:
		return &failure{status: sysexits.NoUser}
	case v.unsure:
		return &failure{status: sysexits.TempFail}
	}
	return nil
}

// expander reads alias files as the daemon does.
func (r *run) expander(isLocal func(address.Address) bool) *aliases.Expander {
	return &aliases.Expander{
		Table:       aliases.NewFiles(r.cfg.Local.Aliases).Table,
		IsLocal:     isLocal,
		Origin:      r.cfg.Origin,
		Delimiter:   r.cfg.Local.Delimiter,
		SystemUsers: r.cfg.Local.SystemUsers,
		LookupUser: func(name string) (*aliases.User, error) {
			a, ok := findAccount(r.env.Passwd, func(a account) bool { return a.login == name })
			if !ok {
				return nil, nil
			}
			return &aliases.User{Name: a.login, UID: a.uid}, nil
		},
		Include: func(_ context.Context, _, path string) (string, *aliases.Refusal) { return aliases.ReadInclude(path) },
	}
}

// verifier prints verdicts and remembers the worst of each kind.
type verifier struct {
	*run
	routes   *policy.Routes
	expander *aliases.Expander
	unknown  bool // an address leads nowhere
	unsure   bool // one could not be looked up now
}

func (v *verifier) isLocal(a address.Address) bool { return a.Domain == "" || v.routes.IsLocal(a) }

func (v *verifier) print(name, verdict string) {
	fmt.Fprintf(v.env.Stdout, "%s... %s\n", oneLine(name), oneLine(verdict))
}

// verify prints one line for each place that mail for an address comes to.
func (v *verifier) verify(ctx context.Context, a address.Address) {
	out := v.expander.Expand(ctx, a)
	if v.opts.verbose {
		v.explain(out)
	}
	if out.Refused != nil {
		v.refused(a.String(), out.Refused)
	}
	for _, leaf := range out.Leaves {
		name := v.name(leaf)
		if len(leaf.Via) == 0 {
			name = a.String()
		}
		if leaf.Refused != nil {
			v.refused(name, leaf.Refused)
			continue
		}
		v.print(name, v.deliverable(leaf))
	}
}

// refused prints why an address leads nowhere.
func (v *verifier) refused(name string, why *aliases.Refusal) {
	switch {
	case why.Temporary:
		v.unsure = true
		v.print(name, "cannot tell now: "+why.Text)
		return
	case why.Status == "5.1.1":
		v.print(name, "User unknown")
	default:
		v.print(name, why.Text)
	}
	v.unknown = true
}

func (v *verifier) deliverable(leaf aliases.Leaf) string {
	text := "deliverable: mailer "
	switch leaf.Target.Kind {
	case queue.TargetUser, queue.TargetMailbox:
		return text + "local, user " + leaf.Target.Value
	case queue.TargetFile:
		return text + "*file*, user " + v.name(leaf)
	case queue.TargetCommand:
		return text + "prog, user " + v.name(leaf)
	}
	route := v.routes.Route(address.Address{}, leaf.Address)
	if route.Kind == policy.Relay {
		return fmt.Sprintf("%srelay, host %s, user %s", text, route.Smarthosts[0].Address, leaf.Address)
	}
	return fmt.Sprintf("%sesmtp, host %s, user %s", text, route.NextHop, leaf.Address)
}

// name is how an alias file would name a leaf.
func (v *verifier) name(leaf aliases.Leaf) string {
	switch {
	case leaf.Refused != nil:
		return v.short(leaf.Address)
	case leaf.Target.Kind == queue.TargetUser, leaf.Target.Kind == queue.TargetMailbox:
		return leaf.Target.Value
	case leaf.Target.Kind == queue.TargetFile:
		return aliases.Item{Kind: aliases.ItemFile, Value: leaf.Target.Value}.String()
	case leaf.Target.Kind == queue.TargetCommand:
		return aliases.Item{Kind: aliases.ItemCommand, Value: leaf.Target.Value}.String()
	}
	return leaf.Address.String()
}

// short leaves out the domain of an address that is at home here.
func (v *verifier) short(a address.Address) string {
	if v.isLocal(a) {
		a.Domain = ""
	}
	return a.String()
}

// explain prints each alias with what it names, the first one first, and where
// that is written.
func (v *verifier) explain(out aliases.Expansion) {
	var order []address.Address
	members := map[address.Address][]string{}
	for _, leaf := range out.Leaves {
		for i, via := range leaf.Via {
			member := v.name(leaf)
			if i+1 < len(leaf.Via) {
				member = v.short(leaf.Via[i+1])
			}
			if members[via] == nil {
				order = append(order, via)
			}
			if !slices.Contains(members[via], member) {
				members[via] = append(members[via], member)
			}
		}
	}
	for _, a := range order {
		v.print(v.short(a), "aliased to "+strings.Join(members[a], ", "))
	}
	for _, step := range out.Steps {
		fmt.Fprintln(v.env.Stdout, oneLine(step))
	}
}
