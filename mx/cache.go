package mx

import (
	"container/list"
	"sync"
	"time"
)

// cache keeps a bounded number of answers; the one unused for longest goes first.
type cache struct {
	size int

	mu      sync.Mutex
	entries map[question]*list.Element
	recent  *list.List // of entry, most recently used first
}

type entry struct {
	question question
	answer   *answer
}

func newCache(size int) *cache {
	return &cache{size: size, entries: map[question]*list.Element{}, recent: list.New()}
}

// get gives an answer that still holds.
func (c *cache) get(q question, now time.Time) (*answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	if !ok {
		return nil, false
	}
	a := e.Value.(entry).answer
	if !now.Before(a.expires) {
		c.remove(e)
		return nil, false
	}
	c.recent.MoveToFront(e)
	return a, true
}

func (c *cache) put(q question, a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.entries[q]; ok {
		c.remove(e)
	}
	for c.recent.Len() >= c.size {
		c.remove(c.recent.Back())
	}
	c.entries[q] = c.recent.PushFront(entry{q, a})
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.entries)
	c.recent.Init()
}

func (c *cache) remove(e *list.Element) {
	delete(c.entries, e.Value.(entry).question)
	c.recent.Remove(e)
}
