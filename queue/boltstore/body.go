package boltstore

import (
	"context"
	"fmt"
	"io"

	"postrider/queue"
)

// unstageChunks bounds how many chunks one transaction removes.
const unstageChunks = 256

// unstage removes a body that has no envelope, in bounded transactions.
func (s *Store) unstage(ctx context.Context, id queue.ID) error {
	for more := true; more; {
		o := &op{mark: true, apply: func(b *batch) error {
			more = !b.deleteChunks(id, unstageChunks)
			if !more {
				b.delete(stagedBucket, idKey(id))
			}
			return nil
		}}
		if err := s.submit(ctx, o); err != nil {
			return fmt.Errorf("remove the unfinished body of %s: %w", id, err)
		}
	}
	return nil
}

// deleteChunks removes up to most chunks of a body and tells whether none is left.
func (b *batch) deleteChunks(id queue.ID, most uint32) (all bool) {
	var keys [][]byte
	c := b.bucket(bodyBucket).Cursor()
	k, _ := c.Seek(chunkKey(id, 0))
	for ; idIn(k) == id && uint32(len(keys)) < most; k, _ = c.Next() {
		keys = append(keys, append([]byte(nil), k...))
	}
	for _, key := range keys {
		b.delete(bodyBucket, key)
	}
	return idIn(k) != id
}

// sweep removes bodies that were written ahead for messages that were never
// accepted.
func (s *Store) sweep(ctx context.Context) error {
	var left []queue.ID
	err := s.view(func(v *view) error {
		return v.bucket(stagedBucket).ForEach(func(k, _ []byte) error {
			left = append(left, idIn(k))
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, id := range left {
		if err := s.unstage(ctx, id); err != nil {
			return err
		}
	}
	if len(left) > 0 {
		s.log.Info("removed bodies of messages that were not accepted", "count", len(left))
	}
	return nil
}

// Body implements queue.Store. Each chunk is read in a transaction of its own.
func (s *Store) Body(ctx context.Context, id queue.ID) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := &bodyReader{ctx: ctx, store: s, id: id}
	err := s.view(func(v *view) error {
		st, err := v.state(id)
		if err != nil {
			return err
		}
		if st == nil {
			return queue.ErrNotFound
		}
		r.chunks = st.chunks
		return r.read(v)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// bodyReader reads a body chunk by chunk.
type bodyReader struct {
	ctx    context.Context // of Body: ends the reading
	store  *Store
	id     queue.ID
	next   uint32 // chunk to read
	chunks uint32
	buf    []byte // whole chunk
	rest   []byte // of buf, unread
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if len(r.rest) == 0 && len(p) > 0 {
		if r.next == r.chunks {
			return 0, io.EOF
		}
		if err := r.ctx.Err(); err != nil {
			return 0, err
		}
		if err := r.store.view(r.read); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// read copies the next chunk.
func (r *bodyReader) read(v *view) error {
	if r.next == r.chunks {
		return nil
	}
	chunk := v.bucket(bodyBucket).Get(chunkKey(r.id, r.next))
	if chunk == nil {
		return fmt.Errorf("%w: body of %s went away while it was read", queue.ErrNotFound, r.id)
	}
	r.buf = append(r.buf[:0], chunk...)
	r.rest = r.buf
	r.next++
	return nil
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	r.next, r.rest = r.chunks, nil
	return nil
}
