package message

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"time"

	"postrider/internal/address"
)

// MaxHeader is the most bytes a header is read up to where [Options] say nothing
// else. What follows counts as body.
const MaxHeader = 4 << 20

var (
	// ErrTooLarge says that the message exceeds Options.MaxSize.
	ErrTooLarge = errors.New("message exceeds the size limit")
	// ErrHeaderTooLarge refuses a header that exceeds Options.MaxHeader, and to look
	// for recipients in one that exceeds MaxHeader: some would be missed.
	ErrHeaderTooLarge = errors.New("header is too large")

	errClosed = errors.New("message reader is closed")
)

// Options say how a message is read.
type Options struct {
	// DotEnds makes a line that holds only a dot end the message.
	DotEnds bool
	// Fixup adds missing fields and completes addresses. Without it fields are
	// only dropped.
	Fixup bool
	// ExtractRecipients collects Header.Recipients from the header (sendmail -t).
	ExtractRecipients bool
	// Origin completes addresses without a domain.
	Origin string
	// Hostname stands in a Message-ID made here.
	Hostname string
	// From goes into an added From field; for the null address the mail system's
	// own name is put there.
	From address.Address
	// ForceFrom, if not null, takes the place of the address in the From field, which
	// is added if there is none. It is done without Fixup, too.
	ForceFrom address.Address
	// FullName of the author for an added From field; empty for none. Whatever it
	// contains, it stays one phrase.
	FullName string
	// Date for an added Date field; zero takes the time of reading.
	Date time.Time
	// MessageID for an added field, with its brackets; empty makes one up.
	MessageID string
	// MaxSize is the greatest size of the result in bytes; zero for no limit.
	MaxSize int64
	// MaxHeader is the greatest size of the header in bytes, which is held in memory;
	// zero stands for the package's MaxHeader, beyond which it counts as body.
	MaxHeader int
	// Buffers lends the Reader its buffers until it is closed; may be nil.
	Buffers *Buffers
}

// Reader yields a message with LF line ends, its header fixed, one blank line,
// and its body, which ends with a line end unless it is empty. It is not safe for
// concurrent use.
type Reader struct {
	source io.Reader
	br     *bufio.Reader
	lent   *readBuffers
	opt    Options
	header *Header
	out    []byte // what of the composed header and of body is still to be read
	body   []byte // start of the body, taken while looking for the header's end
	traits *inspector
	size   int64
	err    error
}

// New makes a Reader. Nothing is read from r before the first call of Header or
// Read.
func New(r io.Reader, o Options) *Reader {
	lent := o.Buffers.get()
	lent.br.Reset(&lineReader{r: r, dotEnds: o.DotEnds, buf: lent.lines[:]})
	return &Reader{source: r, br: lent.br, lent: lent, opt: o, traits: newInspector()}
}

// Close gives back what Options.Buffers lent. Nothing can be read after it.
func (r *Reader) Close() {
	if r.lent == nil {
		return
	}
	r.opt.Buffers.put(r.lent)
	r.lent, r.out, r.body = nil, nil, nil
	if r.err == nil {
		r.err = errClosed
	}
}

// Header reads the header if that was not done yet and tells what is in it.
func (r *Reader) Header() (*Header, error) {
	if r.header != nil || r.err != nil {
		return r.header, r.err
	}
	h := newHeaderScan(r.opt)
	h.field, h.out = r.lent.field[:0], r.lent.head[:0]
	if err := r.readHeader(h); err != nil {
		r.err = fmt.Errorf("read message header: %w", err)
		return nil, r.err
	}
	r.out = h.finish()
	r.lent.field, r.lent.head = h.field, r.out
	r.lent.shrink(false)
	r.header = &h.facts
	return r.header, nil
}

// readHeader feeds the lines of the header to h and stops at the body.
func (r *Reader) readHeader(h *headerScan) error {
	read, limit := 0, cmp.Or(r.opt.MaxHeader, MaxHeader)
	for {
		line, err := r.line(limit - read)
		if err != nil && err != io.EOF {
			return err
		}
		read += len(line)
		if read >= limit && (r.opt.ExtractRecipients || r.opt.MaxHeader > 0) {
			return ErrHeaderTooLarge
		}
		if read >= limit || !h.add(line) {
			// The line belongs to the body, unless it is the blank one between.
			if !bytes.Equal(line, []byte("\n")) {
				r.body = bytes.Clone(line)
			}
			return nil
		}
		if err == io.EOF {
			return nil
		}
	}
}

// line reads a line with its end, or about the first most bytes of a longer one.
// It is valid until the next read.
func (r *Reader) line(most int) ([]byte, error) {
	piece, err := r.br.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return piece, err
	}
	line := bytes.Clone(piece)
	for err == bufio.ErrBufferFull && len(line) < most {
		piece, err = r.br.ReadSlice('\n')
		line = append(line, piece...)
	}
	if err == bufio.ErrBufferFull {
		err = nil
	}
	return line, err
}

// Read implements io.Reader. It fails with ErrTooLarge where the size limit is
// passed, and with the error of the source where that has one before its end.
func (r *Reader) Read(p []byte) (int, error) {
	if r.lent == nil {
		return 0, errClosed
	}
	if _, err := r.Header(); err != nil {
		return 0, err
	}
	n, err := r.next(p)
	r.size += int64(n)
	if r.opt.MaxSize > 0 && r.size > r.opt.MaxSize {
		r.err = ErrTooLarge
		return 0, r.err
	}
	r.traits.add(p[:n])
	return n, err
}

func (r *Reader) next(p []byte) (int, error) {
	if len(r.out) == 0 {
		r.out, r.body = r.body, nil
		r.lent.shrink(true) // the rest of the message may be long in coming
	}
	if len(r.out) > 0 {
		n := copy(p, r.out)
		r.out = r.out[n:]
		return n, nil
	}
	return r.br.Read(p)
}

// Drain reads the input to its end and drops it: after a lone dot or an error, so
// that who writes gets no SIGPIPE. It blocks as long as the writer does.
func (r *Reader) Drain() {
	// Nothing can be done about an error here; the input is over either way.
	_, _ = io.Copy(io.Discard, r.source)
}

// BodyEightBit reports whether the body has non-ASCII; valid once Read has
// returned io.EOF.
func (r *Reader) BodyEightBit() bool { return r.traits.EightBit }

// Traits tells what Inspect would tell of the message read so far.
func (r *Reader) Traits() Traits { return r.traits.Traits }

// Size is the number of bytes read so far.
func (r *Reader) Size() int64 { return r.size }
