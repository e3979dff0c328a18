package mailboxd

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"postrider/delivery/local"
	"postrider/queue"
)

// maxFrame bounds a frame: an envelope has three addresses of some 300 bytes each.
const maxFrame = 16 << 10

// maxText bounds the words of an answer, so that it fits a frame however much of
// it JSON escapes.
const maxText = 2 << 10

var errMalformed = errors.New("malformed")

// writeFrame sends a value as JSON after its length in four bytes.
func writeFrame(w io.Writer, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > maxFrame {
		return fmt.Errorf("%d bytes, at most %d fit: %w", len(text), maxFrame, errMalformed)
	}
	// One write: a frame arrives whole or not at all.
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readFrame takes a frame, and not a byte that follows it.
func readFrame(r io.Reader, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return fmt.Errorf("%d bytes announced, at most %d are taken: %w", n, maxFrame, errMalformed)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return fmt.Errorf("%w: %w", errMalformed, err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: more than one value", errMalformed)
	}
	return nil
}

// readRequest takes an envelope.
func readRequest(r io.Reader) (local.Envelope, error) {
	var e local.Envelope
	if err := readFrame(r, &e); err != nil {
		return e, err
	}
	if e.To.Local == "" {
		return e, fmt.Errorf("%w: no recipient", errMalformed)
	}
	return e, nil
}

func writeAnswer(w io.Writer, o local.Outcome) error {
	for len(o.Text) > maxText {
		_, size := utf8.DecodeLastRuneInString(o.Text)
		o.Text = o.Text[:len(o.Text)-size]
	}
	return writeFrame(w, o)
}

// readAnswer takes an outcome, and none that package local does not give.
func readAnswer(r io.Reader) (local.Outcome, error) {
	var o local.Outcome
	if err := readFrame(r, &o); err != nil {
		return o, err
	}
	class, known := map[queue.Result]byte{queue.Temporary: '4', queue.Delivered: '2', queue.Failed: '5'}[o.Result]
	if !known || o.Status == "" || o.Status[0] != class {
		return o, fmt.Errorf("%w: %v with status %q", errMalformed, o.Result, o.Status)
	}
	return o, nil
}
