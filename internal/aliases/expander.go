package aliases

import (
	"context"
	"fmt"
	"strings"

	"postrider/internal/address"
	"postrider/queue"
)

// User is one user of this host.
type User struct {
	Name string
	UID  int
	Home string
}

// Expander expands addresses. Its fields are set before use; it is then safe for
// concurrent use if what its fields call is.
type Expander struct {
	// Table gives the aliases, usually [Files.Table].
	Table func() (*Table, error)
	// IsLocal reports whether mail for an address's domain is delivered here.
	IsLocal func(address.Address) bool
	// Origin is the domain that completes bare names. If it is not local, the
	// domain of the address that is expanded does.
	Origin string
	// Delimiter parts a name from its extension; "" for none.
	Delimiter string
	// LookupUser finds the user of a login name; nil without an error if there is
	// none.
	LookupUser func(name string) (*User, error)
	// SystemUsers is where mail for users with a uid below 1000 goes that have no
	// alias; "" for their mailboxes. It does not hold for root.
	SystemUsers string
	// Include reads an include file: with our own rights if owner is empty, since an
	// alias file names it; else with those of the user whose .forward does.
	Include func(ctx context.Context, owner, path string) (text string, refused *Refusal)
}

// Expand says what an address comes to. One of another domain comes to itself.
//
// A part that is refused for good is a refused leaf next to the good ones. Trouble
// that is temporary refuses the expansion as a whole, so that nobody gets a second
// copy when it is made again. So does an address that is refused itself.
func (e *Expander) Expand(ctx context.Context, to address.Address) Expansion {
	r, refused := e.begin(ctx, to)
	if refused != nil {
		return Expansion{Refused: refused}
	}
	r.address(&place{at: r.complete(to)}, to)
	out := r.end()
	if len(out.Leaves) == 1 && out.Leaves[0].Refused != nil && len(out.Leaves[0].Via) == 0 {
		out.Refused, out.Leaves = out.Leaves[0].Refused, nil
	}
	if len(out.Leaves) == 0 && out.Refused == nil {
		out.Refused = permanent("5.2.4", fmt.Sprintf("%s is a list without members: its include file is empty", to))
	}
	return out
}

// Forward expands the text of a user's .forward. The address is the user's own, of
// the leaf that led to the user, and via what was expanded before it. The user's
// own name stands for the mailbox, here and in aliases; one that was expanded before is a loop and
// refused. A text that names nobody leaves the user's mailbox as the only leaf.
//
// ReversePath is set only for leaves of a list with an owner that the text names;
// for the others that of the recipient holds on.
func (e *Expander) Forward(ctx context.Context, user string, to address.Address, via []address.Address, text string) Expansion {
	if len(text) > maxForward {
		return Expansion{Refused: permanent("5.2.4", fmt.Sprintf(".forward of %s is larger than %d MiB", user, maxForward>>20))}
	}
	r, refused := e.begin(ctx, to)
	if refused != nil {
		return Expansion{Refused: refused}
	}
	to = r.complete(to)
	r.forward(user, to, via)
	items := parseLines(text)
	p := &place{at: to, ext: r.extension, user: user, via: extend(via, to), direct: true, source: user + "'s .forward"}
	if len(items) > 0 {
		r.step("%s: .forward of %s: %s", to, user, summary(items))
	}
	r.items(p, items)
	out := r.end()
	if len(out.Leaves) == 0 && out.Refused == nil {
		mailbox := queue.Target{Kind: queue.TargetMailbox, Value: user, Extension: r.extension}
		out.Leaves = []Leaf{{Address: to, Target: mailbox, Via: via}}
	}
	return out
}

// begin makes what one expansion needs.
func (e *Expander) begin(ctx context.Context, to address.Address) (*run, *Refusal) {
	table, err := e.Table()
	if err != nil {
		return nil, temporary("4.3.5", err.Error())
	}
	r := &run{Expander: e, ctx: ctx, table: table, home: e.Origin}
	if to.Domain != "" && !e.IsLocal(address.Address{Local: to.Local, Domain: e.Origin}) {
		r.home = to.Domain
	}
	return r, nil
}

// forward makes known whose .forward is expanded, and what led there.
func (r *run) forward(user string, to address.Address, via []address.Address) {
	r.user, r.to = user, to
	r.before = map[string]bool{foldKey(user): true}
	for _, a := range extend(via, to) {
		if a.Domain != "" && !r.IsLocal(a) {
			continue
		}
		for _, n := range r.names(a.Local) {
			r.before[foldKey(n.name)] = true
		}
	}
	if names := r.names(to.Local); foldKey(to.Local) != foldKey(user) {
		r.extension = names[len(names)-1].extension
	}
}

// name is a name to look up, with what was cut off it.
type name struct{ name, extension string }

// names gives the local part as it is written, and without its extension.
func (e *Expander) names(local string) []name {
	all := []name{{local, ""}}
	if e.Delimiter == "" {
		return all
	}
	if base, ext, ok := strings.Cut(local, e.Delimiter); ok && base != "" {
		all = append(all, name{base, ext})
	}
	return all
}

// findUser looks a name up as it is written and in lower case.
func (e *Expander) findUser(name string) (*User, error) {
	u, err := e.lookup(name)
	if lower := strings.ToLower(name); u == nil && err == nil && lower != name {
		return e.lookup(lower)
	}
	return u, err
}

func (e *Expander) lookup(name string) (*User, error) {
	if !isLogin(name) {
		return nil, nil
	}
	return e.LookupUser(name)
}

// isLogin refuses what no account is called and what could mean something else to
// a user database.
func isLogin(name string) bool {
	if name == "" || len(name) > 200 || name[0] == '.' || name[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '/' || r == ':' })
}
