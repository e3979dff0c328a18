package mx

import (
	"context"
	"errors"

	"github.com/miekg/dns"
)

// query finds the records of a type at a name, or at the end of its aliases.
func (r *Resolver) query(ctx context.Context, name string, qtype uint16) (*answer, error) {
	a, err := r.ask(ctx, name, qtype)
	if err != nil {
		return nil, err
	}
	for a.pending {
		next, err := r.ask(ctx, a.name, qtype)
		if err != nil {
			return nil, err
		}
		merged := *next
		merged.aliases += a.aliases
		merged.secure = merged.secure && a.secure
		if a.expires.Before(merged.expires) {
			merged.expires = a.expires
		}
		if merged.aliases > maxAliases {
			return nil, &Error{Kind: ServFail, Name: name, Err: errAliases}
		}
		a = &merged
	}
	return a, nil
}

// ask gives the answer to one question, from the cache or shared with all who ask
// the same now. The exchange goes on when a caller leaves: others may wait, and the
// answer is worth keeping.
func (r *Resolver) ask(ctx context.Context, name string, qtype uint16) (*answer, error) {
	q := question{name, qtype}
	a, ok := r.cache.get(q, r.opts.Now())
	if !ok {
		flight := r.flights.DoChan(q.key(), func() (any, error) { return r.fetch(q), nil })
		select {
		case <-ctx.Done():
			return nil, &Error{Kind: Timeout, Name: name, Err: context.Cause(ctx)}
		case result := <-flight:
			a = result.Val.(*answer)
		}
	}
	if a.err != nil {
		return nil, a.err
	}
	return a, nil
}

// fetch asks the servers and keeps what they say.
func (r *Resolver) fetch(q question) *answer {
	if !r.begin() {
		return &answer{err: &Error{Kind: Unreachable, Name: q.name, Err: errors.New("resolver is closed")}}
	}
	defer r.pending.Done()
	// Another flight may have ended between the caller's look into the cache and now.
	if a, ok := r.cache.get(q, r.opts.Now()); ok {
		return a
	}
	if r.client.reload() {
		r.cache.clear() // other servers may know better, and be trusted otherwise
	}
	a, err := r.client.exchange(r.base, q)
	if err != nil {
		err.Name = q.name
		a = &answer{err: err, expires: r.opts.Now().Add(failureTTL)}
	}
	r.cache.put(q, a)
	return a
}

// begin counts a goroutine of the resolver's, unless it is closed.
func (r *Resolver) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.pending.Add(1)
	return true
}

// question is what answers are kept by.
type question struct {
	name  string
	qtype uint16
}

func (q question) key() string { return dns.TypeToString[q.qtype] + " " + q.name }
