package boltstore

import (
	"bytes"
	"sync"

	"postrider/queue"
)

const (
	// recentBytes bounds the memory of the messages kept at hand.
	recentBytes = 4 << 20
	// atHand is the largest body that is kept at hand, or read ahead by Load.
	atHand = 64 << 10
	// recentOverhead and recentRecipient are about what a message takes beside its
	// body, and for each of its recipients; recentRecipients is the most of them.
	recentOverhead   = 1 << 10
	recentRecipient  = 512
	recentRecipients = 100
)

// recent keeps messages as they were accepted, for most are loaded right away. It
// knows nothing of what became of them: whether a message, or a delivery as it
// was, is still there is for the file to say. It is safe for concurrent use.
type recent struct {
	mu    sync.Mutex
	kept  map[queue.ID]*recentMessage
	bytes int
}

// recentMessage does not change.
type recentMessage struct {
	message queue.Message
	body    []byte
	rows    []deliveryRow
	encoded [][]byte // rows as they are stored
}

func newRecent() *recent { return &recent{kept: make(map[queue.ID]*recentMessage)} }

// add keeps a message that is about to be accepted.
func (r *recent) add(d *draft, m *queue.Message, a *acceptance) {
	if d.chunks > 0 || len(d.buf) > atHand || len(m.Recipients) > recentRecipients {
		return
	}
	k := &recentMessage{message: *m, body: d.buf, rows: a.rows, encoded: a.encoded}
	k.message.Recipients = append([]queue.Recipient(nil), m.Recipients...)
	// As they will be read from the file.
	k.message.Arrival = tickOf(m.Arrival).time()
	k.message.Expires = tickOf(m.Expires).time()
	k.message.NoticeAt = tickOf(m.NoticeAt).time()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kept[m.ID] = k
	r.bytes += k.size()
	for id := range r.kept {
		if r.bytes <= recentBytes {
			break
		}
		r.drop(id)
	}
}

func (k *recentMessage) size() int {
	return cap(k.body) + recentOverhead + recentRecipient*len(k.message.Recipients)
}

func (r *recent) get(id queue.ID) *recentMessage {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept[id]
}

// remove drops messages that will not be loaded again, or are no more as they were
// accepted.
func (r *recent) remove(ids ...queue.ID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		r.drop(id)
	}
}

func (r *recent) drop(id queue.ID) {
	if k := r.kept[id]; k != nil {
		r.bytes -= k.size()
		delete(r.kept, id)
	}
}

// row finds the decoded form of a delivery as it was when the message was
// accepted, nil if it has changed since.
func (k *recentMessage) row(n uint16, stored []byte) *deliveryRow {
	if int(n) >= len(k.rows) || !bytes.Equal(stored, k.encoded[n]) {
		return nil
	}
	return &k.rows[n]
}
