package local

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"postrider/internal/address"
)

// checkLoop fails a message that was already delivered to this recipient and
// came back, by a forward or a filter.
func checkLoop(to address.Address, open func() (io.ReadCloser, error)) error {
	body, err := open()
	if err != nil {
		return fmt.Errorf("open message: %w", err)
	}
	defer body.Close()
	seen, err := hasDeliveredTo(body, deliveredTo(to))
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if seen {
		return failed("5.4.6", fmt.Sprintf("mail forwarding loop for %s: the message was delivered to it before", to))
	}
	return nil
}

// hasDeliveredTo looks for a Delivered-To field of this value in the header.
func hasDeliveredTo(r io.Reader, value string) (bool, error) {
	in := bufio.NewReaderSize(r, bufferSize)
	field, cut := "", false // the Delivered-To field being read; the line goes on
	for {
		chunk, err := in.ReadSlice('\n')
		more := errors.Is(err, bufio.ErrBufferFull)
		if err != nil && err != io.EOF && !more {
			return false, err
		}
		folded := len(chunk) > 0 && (chunk[0] == ' ' || chunk[0] == '\t')
		switch {
		case cut: // too long a line to be of interest
		case folded && field != "" && len(field) < bufferSize:
			field += string(chunk)
		default:
			if matches(field, value) {
				return true, nil
			}
			field = deliveredToLine(chunk)
		}
		if err == io.EOF || !cut && bytes.Equal(chunk, []byte("\n")) {
			return matches(field, value), nil
		}
		cut = more
	}
}

// deliveredToLine gives the line if it begins a Delivered-To field.
func deliveredToLine(line []byte) string {
	const name = "delivered-to"
	if len(line) < len(name) || !bytes.EqualFold(line[:len(name)], []byte(name)) {
		return ""
	}
	return string(line)
}

func matches(field, value string) bool {
	_, v, ok := strings.Cut(field, ":")
	return ok && strings.EqualFold(strings.Join(strings.Fields(v), " "), value)
}
