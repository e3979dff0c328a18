package mailboxd

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"unicode/utf8"

	"postrider/delivery/local"
	"postrider/queue"
)

const (
	// maxRequest bounds a request: a command line, and the addresses that led to it
	// of some 300 bytes each.
	maxRequest = 64 << 10
	// maxJob bounds what a process is told: a request, and what we add to it.
	maxJob = 2 * maxRequest
	// maxAnswer bounds an answer: a file of addresses of 1 MiB in base64.
	maxAnswer = 3 << 19
	// maxText bounds the words of an answer.
	maxText = 4 << 10
)

var errMalformed = errors.New("malformed")

// What can be asked for.
const (
	kindDeliver = "deliver"
	kindForward = "forward"
	kindInclude = "include"
)

// request is what a client asks for. The message follows a delivery.
type request struct {
	Kind     string
	Envelope local.Envelope `json:",omitzero"`
	// User whose .forward is read, or as whom the file at Path is.
	User string `json:",omitempty"`
	Path string `json:",omitempty"`
}

// String says for the log what was asked for.
func (r request) String() string {
	switch r.Kind {
	case kindDeliver:
		return "delivery to " + r.Envelope.To.String()
	case kindForward:
		return "forward file of " + r.User
	}
	return "include file " + r.Path
}

// check refuses what no client sends.
func (r request) check() error {
	switch {
	case r.Kind == kindDeliver && r.Envelope.To.Local == "":
		return fmt.Errorf("%w: no recipient", errMalformed)
	case r.Kind == kindDeliver && r.Envelope.Target.Kind > queue.TargetCommand:
		return fmt.Errorf("%w: target of kind %d", errMalformed, r.Envelope.Target.Kind)
	case r.Kind == kindForward && r.User == "":
		return fmt.Errorf("%w: no user", errMalformed)
	case r.Kind == kindInclude && !filepath.IsAbs(r.Path):
		return fmt.Errorf("%w: path %q", errMalformed, r.Path)
	case r.Kind != kindDeliver && r.Kind != kindForward && r.Kind != kindInclude:
		return fmt.Errorf("%w: request of kind %q", errMalformed, r.Kind)
	}
	return nil
}

// mayForward tells whether a .forward may be the answer: not where something is
// delivered that one names already, or that is the mailbox itself.
func (r request) mayForward() bool {
	k := r.Envelope.Target.Kind
	return r.Kind != kindDeliver || k == queue.TargetAddress || k == queue.TargetUser
}

// answer is an outcome on its way. Forward is any bytes, which JSON strings are not.
type answer struct {
	Result       queue.Result
	Status, Text string
	Forward      []byte `json:",omitempty"`
}

// writeFrame sends a value as JSON after its length in four bytes.
func writeFrame(w io.Writer, v any, limit int) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(text) > limit {
		return fmt.Errorf("%d bytes, at most %d fit: %w", len(text), limit, errMalformed)
	}
	// One write: a frame arrives whole or not at all.
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readFrame takes a frame, and not a byte that follows it.
func readFrame(r io.Reader, v any, limit int) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if int64(n) > int64(limit) {
		return fmt.Errorf("%d bytes announced, at most %d are taken: %w", n, limit, errMalformed)
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

func readRequest(r io.Reader) (request, error) {
	var req request
	if err := readFrame(r, &req, maxRequest); err != nil {
		return req, err
	}
	return req, req.check()
}

func writeAnswer(w io.Writer, o local.Outcome) error {
	for len(o.Text) > maxText {
		_, size := utf8.DecodeLastRuneInString(o.Text)
		o.Text = o.Text[:len(o.Text)-size]
	}
	return writeFrame(w, answer{Result: o.Result, Status: o.Status, Text: o.Text, Forward: []byte(o.Forward)}, maxAnswer)
}

// readAnswer takes an outcome, and none that package local does not give to such
// a request.
func readAnswer(r io.Reader, kind string) (local.Outcome, error) {
	var a answer
	if err := readFrame(r, &a, maxAnswer); err != nil {
		return local.Outcome{}, err
	}
	o := local.Outcome{Result: a.Result, Status: a.Status, Text: a.Text, Forward: string(a.Forward)}
	if a.Result == queue.Pending && kind == kindForward {
		return o, nil
	}
	class, known := map[queue.Result]byte{queue.Temporary: '4', queue.Failed: '5', queue.Expanded: '2', queue.Delivered: '2'}[a.Result]
	if a.Result == queue.Delivered && kind != kindDeliver {
		known = false
	}
	if !known || a.Status == "" || a.Status[0] != class {
		return o, fmt.Errorf("%w: %v with status %q", errMalformed, a.Result, a.Status)
	}
	return o, nil
}
