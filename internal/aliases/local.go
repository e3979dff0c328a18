package aliases

import (
	"fmt"
	"strings"

	"postrider/internal/address"
	"postrider/queue"
)

// address expands an address. The names of a local one are its local part as it is
// written, then without extension; each is looked up as an alias, as a user, and as
// one of the names that every host has.
func (r *run) address(p *place, a address.Address) {
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
	looped := false
	for _, n := range r.names(a.Local) {
		key := foldKey(n.name)
		if (p.direct || foldKey(r.user) == key) && r.isOwn(n.name) {
			r.toUser(p, a, queue.TargetMailbox, r.user, n.extension)
			return
		}
		if r.before[key] {
			r.loop(p, a)
			return
		}
		e := r.table.find(key)
		if e != nil && !p.isOpen(key) {
			r.open(p, a, n, e)
			return
		}
		looped = looped || e != nil
		if r.ofUser(p, a, n) {
			return
		}
		if root := fallback(key); root != "" {
			r.redirect(p, a, n, address.Address{Local: root}, "no alias or user takes it")
			return
		}
	}
	if looped {
		r.loop(p, a)
		return
	}
	r.unknown(p, a)
}

// fallback names who gets the mail for names that every host must have (RFC 5321
// §4.5.1) if no alias does.
func fallback(key string) string {
	if key == "postmaster" || key == "mailer-daemon" {
		return "root"
	}
	return ""
}

// isOwn reports whether a name is that of the user whose .forward is expanded.
func (r *run) isOwn(local string) bool {
	key := foldKey(local)
	return r.user != "" && (key == foldKey(r.user) || key == foldKey(r.to.Local))
}

// ownMailbox is what a user's own name means in a .forward.
func (r *run) ownMailbox(p *place) {
	r.toUser(p, r.to, queue.TargetMailbox, r.user, r.extension)
}

// ofUser ends the expansion at the user of a name; false if there is none.
func (r *run) ofUser(p *place, a address.Address, n name) bool {
	u, err := r.findUser(n.name)
	if err != nil {
		r.lookupFailed(n.name, err)
		return true
	}
	if u == nil {
		return false
	}
	// One whose alias is open is named by that alias, and means the mailbox.
	system := u.UID > 0 && u.UID < firstUserUID && r.SystemUsers != "" && !p.isOpen(foldKey(n.name))
	switch {
	case u.Name == r.user:
		r.toUser(p, a, queue.TargetMailbox, u.Name, n.extension)
	case r.before[foldKey(u.Name)]:
		r.loop(p, a)
	case system:
		to, err := address.Parse(r.SystemUsers)
		if err != nil {
			r.stop(temporary("4.3.5", fmt.Sprintf("local.system_users: %v", err)))
			return true
		}
		r.redirect(p, a, n, to, "a system user without an alias")
	default:
		r.toUser(p, a, queue.TargetUser, u.Name, n.extension)
	}
	return true
}

// redirect goes on with another address, as an alias would.
func (r *run) redirect(p *place, a address.Address, n name, to address.Address, why string) {
	if inside := r.below(p, a, n); inside != nil {
		r.step("%s: %s: %s", a, why, to)
		r.address(inside, to)
	}
}

// open expands an alias, unless it was before: then its members are leaves already.
func (r *run) open(p *place, a address.Address, n name, e *entry) {
	if r.isDone("alias " + e.key + " " + n.extension) {
		return
	}
	inside := r.below(p, a, n)
	if inside == nil {
		return
	}
	inside.source = e.file
	if owner := r.owner(e.key); owner != nil {
		inside.reverse = owner
	}
	r.step("%s: alias in %s:%d: %s", a, e.file, e.line, summary(e.items))
	r.items(inside, e.items)
}

// below is the place of what is named under a; nil if it would be too deep.
func (r *run) below(p *place, a address.Address, n name) *place {
	if p.depth >= maxDepth {
		r.refuse(p, a, "", permanent("5.4.6", fmt.Sprintf("more than %d aliases lead from one to the next", maxDepth)))
		return nil
	}
	return &place{
		up: p, key: foldKey(n.name), at: a, ext: n.extension,
		via: extend(p.via, a), reverse: p.reverse, depth: p.depth + 1,
	}
}

// owner gives the address of a list's owner, if the list has one. An owner has
// none: reports on it would have nowhere to go but round.
func (r *run) owner(key string) *address.Address {
	const prefix = "owner-"
	if strings.HasPrefix(key, prefix) || r.table.find(prefix+key) == nil {
		return nil
	}
	a := r.complete(address.Address{Local: prefix + key})
	return &a
}
