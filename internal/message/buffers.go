package message

import (
	"bufio"
	"sync"
)

// keptBuffer is the largest header buffer that is used again.
const keptBuffer = 16 << 10

// Buffers lends Readers what they need while they are open, so that it is used
// again. The zero value is ready. It is safe for concurrent use.
type Buffers struct{ pool sync.Pool }

// readBuffers are those of one Reader.
type readBuffers struct {
	lines       [bufferSize]byte
	br          *bufio.Reader
	field, head []byte
}

// get is for nil as well: a Reader without Buffers makes its own.
func (b *Buffers) get() *readBuffers {
	if b != nil {
		if lent, ok := b.pool.Get().(*readBuffers); ok {
			return lent
		}
	}
	return &readBuffers{br: bufio.NewReaderSize(nil, bufferSize)}
}

func (b *Buffers) put(lent *readBuffers) {
	if b == nil {
		return
	}
	lent.br.Reset(nil)
	lent.shrink(true)
	b.pool.Put(lent)
}

// shrink lets go of what only a large header needs; of its text, too, if that has
// been read.
func (lent *readBuffers) shrink(isRead bool) {
	if cap(lent.field) > keptBuffer {
		lent.field = nil
	}
	if isRead && cap(lent.head) > keptBuffer {
		lent.head = nil
	}
}
