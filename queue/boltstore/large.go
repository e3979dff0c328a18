package boltstore

import (
	"sync"
	"weak"

	"postrider/queue"
)

// large shares the decoded form of messages with many recipients among the attempts
// of their deliveries: decoding ten thousand takes long, and takes memory. It keeps
// alive nothing that no attempt holds. It is safe for concurrent use.
type large struct {
	mu   sync.Mutex
	kept map[queue.ID]largeMessage
}

// largeMessage is a row of so many bytes, decoded. All that ever changes in one is
// that it gets longer.
type largeMessage struct {
	size    int
	message weak.Pointer[queue.Message]
}

func newLarge() *large { return &large{kept: make(map[queue.ID]largeMessage)} }

// decode decodes a message's row, unless somebody holds what it says.
func (g *large) decode(c codec, id queue.ID, row []byte) (*queue.Message, error) {
	if m := g.get(id, len(row)); m != nil {
		return m, nil
	}
	m, err := c.decodeMessage(row)
	if err == nil && len(m.Recipients) > recentRecipients {
		g.put(m, len(row))
	}
	return m, err
}

func (g *large) get(id queue.ID, size int) *queue.Message {
	g.mu.Lock()
	defer g.mu.Unlock()
	if k := g.kept[id]; k.size == size {
		return k.message.Value()
	}
	return nil
}

func (g *large) put(m *queue.Message, size int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, k := range g.kept {
		if k.message.Value() == nil {
			delete(g.kept, id)
		}
	}
	g.kept[m.ID] = largeMessage{size, weak.Make(m)}
}
