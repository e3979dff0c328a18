package aliases

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"postrider/internal/address"
	"postrider/queue"
)

// Bounds of one expansion.
const (
	maxDepth        = 50
	maxLeaves       = 100_000
	maxItems        = 4 * maxLeaves
	maxForward      = 1 << 20 // bytes of a .forward, or of a file it includes
	maxIncludeBytes = 64 << 20
)

// firstUserUID is the lowest uid of a person's account.
const firstUserUID = 1000

// run is one expansion.
type run struct {
	*Expander
	ctx   context.Context
	table *Table
	// home is the domain that completes bare names.
	home string

	// Of a .forward: whose it is, the user's address and its extension, and the names
	// that were expanded on the way to it. None in Expand.
	user      string
	to        address.Address
	extension string
	before    map[string]bool

	out    Expansion
	leaves map[string]bool // keys of out.Leaves
	opened map[string]bool // aliases and include files that were expanded
	count  int             // of items
	bytes  int             // of include files
}

// place is the entry that items stand in.
type place struct {
	up      *place
	key     string          // of the alias; "" in a .forward and at the start
	at      address.Address // whom the entry belongs to
	ext     string          // extension of at
	user    string          // on whose behalf commands are run; "" for the default user
	via     []address.Address
	reverse *address.Address
	depth   int
	direct  bool   // in the .forward itself, or in an include file of it
	include bool   // in an include file
	source  string // for people
}

// isOpen reports whether the alias is being expanded here or further up.
func (p *place) isOpen(key string) bool {
	for ; p != nil; p = p.up {
		if p.key == key && key != "" {
			return true
		}
	}
	return false
}

func (r *run) items(p *place, items []Item) {
	for _, it := range items {
		if r.stopped() {
			return
		}
		r.item(p, it)
	}
}

// stopped reports whether the expansion as a whole is refused.
func (r *run) stopped() bool {
	if r.out.Refused == nil && r.ctx.Err() != nil {
		r.stop(temporary("4.3.0", "expansion was interrupted"))
	}
	if r.count++; r.count > maxItems {
		r.stop(permanent("5.2.4", fmt.Sprintf("more than %d targets on the way; split the list", maxItems)))
	}
	return r.out.Refused != nil
}

func (r *run) stop(why *Refusal) {
	if r.out.Refused == nil {
		r.out.Refused = why
	}
}

func (r *run) end() Expansion {
	if r.out.Refused != nil {
		r.out.Leaves = nil
	}
	return r.out
}

func (r *run) item(p *place, it Item) {
	switch it.Kind {
	case ItemAddress:
		r.address(p, it.Address)
	case ItemMailbox:
		r.mailbox(p, it.Address)
	case ItemFile:
		r.target(p, it, queue.TargetFile)
	case ItemCommand:
		r.target(p, it, queue.TargetCommand)
	case ItemInclude:
		r.include(p, it)
	default:
		r.refuse(p, p.at, it.Value, permanent("5.1.3", fmt.Sprintf("%s, line %d: %q: %s", p.source, it.Line, it.Value, it.Problem)))
	}
}

// target adds a file or a command.
func (r *run) target(p *place, it Item, kind queue.TargetKind) {
	if p.include {
		r.refuse(p, p.at, it.Value, permanent("5.7.1", fmt.Sprintf("%s, line %d: commands and files are not allowed in an include file: %s", p.source, it.Line, it)))
		return
	}
	t := queue.Target{Kind: kind, Value: it.Value, User: p.user, Extension: p.ext}
	r.add(fmt.Sprintf("%d %s %s", kind, p.user, it.Value), Leaf{Address: p.at, Target: t, Via: p.via, ReversePath: p.reverse})
}

func (r *run) include(p *place, it Item) {
	if p.include && p.user == "" && !isOurs(p.source) {
		// It would be read with our rights.
		r.refuse(p, p.at, it.Value, permanent("5.7.1", fmt.Sprintf("%s, line %d: an include file that others than root can change cannot include another: %s", p.source, it.Line, it)))
		return
	}
	key := includePrefix + p.user + ":" + it.Value
	if r.isDone(key) {
		return
	}
	text, refused := r.read(p.user, it.Value)
	if refused == nil && p.user != "" && len(text) > maxForward {
		refused = permanent("5.2.4", fmt.Sprintf("include file %s is larger than %d MiB", it.Value, maxForward>>20))
	}
	switch {
	case refused != nil && refused.Temporary:
		r.stop(refused)
		return
	case refused != nil:
		r.refuse(p, p.at, it.Value, refused)
		return
	}
	if r.bytes += len(text); r.bytes > maxIncludeBytes {
		r.stop(permanent("5.2.4", fmt.Sprintf("include files of more than %d MiB in all; split the list", maxIncludeBytes>>20)))
		return
	}
	items := parseLines(text)
	r.step("%s: include file %s: %s", p.at, it.Value, summary(items))
	inside := *p
	inside.include, inside.source = true, it.Value
	r.items(&inside, items)
}

func (r *run) read(owner, path string) (string, *Refusal) {
	switch {
	case r.Include != nil:
		return r.Include(r.ctx, owner, path)
	case owner == "":
		return ReadInclude(path)
	}
	return "", permanent("5.7.1", "include files are not allowed in a .forward: "+path)
}

// mailbox adds the mailbox of a user, which is expanded no further.
func (r *run) mailbox(p *place, a address.Address) {
	bare := a.Domain == ""
	a = r.complete(a)
	if !bare && !r.IsLocal(a) {
		r.remote(p, a)
		return
	}
	if p.direct && r.isOwn(a.Local) {
		r.ownMailbox(p)
		return
	}
	for _, n := range r.names(a.Local) {
		u, err := r.findUser(n.name)
		if err != nil {
			r.lookupFailed(n.name, err)
			return
		}
		if u != nil {
			r.toUser(p, a, queue.TargetMailbox, u.Name, n.extension)
			return
		}
	}
	r.unknown(p, a)
}

// complete gives a bare name its domain.
func (r *run) complete(a address.Address) address.Address { return a.Qualify(r.home) }

func (r *run) remote(p *place, a address.Address) {
	r.add(addressKey(a), Leaf{Address: a, Via: p.via, ReversePath: p.reverse})
}

func (r *run) toUser(p *place, a address.Address, kind queue.TargetKind, login, extension string) {
	t := queue.Target{Kind: kind, Value: login, Extension: extension}
	r.add("user "+login, Leaf{Address: a, Target: t, Via: p.via, ReversePath: p.reverse})
}

func (r *run) unknown(p *place, a address.Address) {
	r.refuse(p, a, "", permanent("5.1.1", fmt.Sprintf("unknown local user %q", a.Local)))
}

func (r *run) loop(p *place, a address.Address) {
	r.refuse(p, a, "", permanent("5.4.6", fmt.Sprintf("mail forwarding loop: %s leads back to itself", a)))
}

func (r *run) lookupFailed(name string, err error) {
	r.stop(temporary("4.3.0", fmt.Sprintf("look up user %q: %v", name, err)))
}

// refuse adds a leaf that gets nothing. The text tells several of one address
// apart.
func (r *run) refuse(p *place, a address.Address, text string, why *Refusal) {
	key := "refused " + text + " " + foldKey(addressKey(a))
	r.add(key, Leaf{Address: a, Via: p.via, ReversePath: p.reverse, Refused: why})
}

// add keeps one leaf of each key.
func (r *run) add(key string, l Leaf) {
	if r.leaves[key] {
		return
	}
	if len(r.out.Leaves) == maxLeaves {
		r.stop(permanent("5.2.4", fmt.Sprintf("more than %d recipients; split the list", maxLeaves)))
		return
	}
	if r.leaves == nil {
		r.leaves = make(map[string]bool)
	}
	r.leaves[key] = true
	r.out.Leaves = append(r.out.Leaves, l)
}

// isDone marks an alias or include file as expanded, and reports whether it was.
func (r *run) isDone(key string) bool {
	if r.opened[key] {
		return true
	}
	if r.opened == nil {
		r.opened = make(map[string]bool)
	}
	r.opened[key] = true
	return false
}

func addressKey(a address.Address) string { return a.Local + "@" + strings.ToLower(a.Domain) }

func (r *run) step(format string, args ...any) {
	r.out.Steps = append(r.out.Steps, fmt.Sprintf(format, args...))
}

// summary writes the first items of a list.
func summary(items []Item) string {
	const most = 20
	texts := make([]string, 0, most+1)
	for _, it := range items[:min(len(items), most)] {
		texts = append(texts, printable(it.String()))
	}
	if len(items) > most {
		texts = append(texts, fmt.Sprintf("and %d more", len(items)-most))
	}
	if len(items) == 0 {
		return "nobody"
	}
	return strings.Join(texts, ", ")
}

// extend gives via with one more address. Many leaves and places hold the result, and
// none may find room in it to write another's address to.
func extend(via []address.Address, a address.Address) []address.Address {
	return slices.Clip(append(slices.Clip(via), a))
}
