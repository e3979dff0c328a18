package smtp

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// poolKey tells connections apart that must not serve for one another: all that
// decides whom we talk to, how sure we are of it, and as whom.
type poolKey struct {
	address     netip.AddrPort
	local       netip.Addr
	host, hello string
	mode        TLSMode
	implicit    bool
	plainAuth   bool
	roots       *x509.CertPool
	login       bool
	auth        Credentials
}

func keyOf(t *Target) poolKey {
	k := poolKey{
		address: t.Address, local: t.LocalAddr, host: t.Host, hello: t.Hello,
		mode: t.TLS, implicit: t.ImplicitTLS, plainAuth: t.AllowPlainAuth, roots: t.RootCAs,
	}
	if t.Auth != nil {
		k.login, k.auth = true, *t.Auth
	}
	return k
}

// pool keeps idle sessions for a short while.
type pool struct {
	timeout time.Duration

	mu     sync.Mutex
	idle   map[poolKey][]*session
	n      int
	closed bool
	// expiring counts the sessions that have a timer running or being run.
	expiring sync.WaitGroup
}

func newPool(timeout time.Duration) *pool {
	return &pool{timeout: timeout, idle: make(map[poolKey][]*session)}
}

// take gives the session used last, which is the least likely to have been closed
// by the host; nil if there is none.
func (p *pool) take(k poolKey) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[k]
	if len(list) == 0 {
		return nil
	}
	s := list[len(list)-1]
	p.remove(s)
	if s.idle.Stop() {
		p.expiring.Done()
	}
	return s
}

// put keeps a session; false if the pool is closed.
func (p *pool) put(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.idle[s.key] = append(p.idle[s.key], s)
	p.n++
	p.expiring.Add(1)
	if s.idle == nil {
		s.idle = time.AfterFunc(p.timeout, func() { p.expire(s) })
	} else {
		s.idle.Reset(p.timeout)
	}
	return true
}

// expire ends a session nobody has taken.
func (p *pool) expire(s *session) {
	defer p.expiring.Done()
	p.mu.Lock()
	kept := p.remove(s)
	p.mu.Unlock()
	if kept {
		s.end()
	}
}

// remove takes a session off the list if it is there.
func (p *pool) remove(s *session) bool {
	list := p.idle[s.key]
	i := slices.Index(list, s)
	if i < 0 {
		return false
	}
	p.n--
	if list = slices.Delete(list, i, i+1); len(list) == 0 {
		delete(p.idle, s.key)
	} else {
		p.idle[s.key] = list
	}
	return true
}

func (p *pool) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// close ends all idle sessions and waits for those that are ending.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var ending []*session
	for _, list := range p.idle {
		for _, s := range list {
			ending = append(ending, s)
			if s.idle.Stop() {
				p.expiring.Done()
			}
		}
	}
	clear(p.idle)
	p.n = 0
	p.mu.Unlock()
	for _, s := range ending {
		s.end()
	}
	p.expiring.Wait()
}
