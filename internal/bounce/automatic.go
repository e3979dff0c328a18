package bounce

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"

	"postrider/queue"
)

// fieldEnough bounds what is gathered of one folded field, in bytes.
const fieldEnough = 1024

// isAutomatic tells whether no person waits for the message: a delay notice would
// go to a machine or to a list's owner (RFC 3834 §2).
func (b *Reporter) isAutomatic(ctx context.Context, id queue.ID) (bool, error) {
	body, err := b.store.Body(ctx, id)
	if err != nil {
		return false, err
	}
	defer body.Close()
	automatic, err := scanAutomatic(io.LimitReader(body, headerEnough))
	if err != nil {
		return false, fmt.Errorf("read header: %w", err)
	}
	return automatic, nil
}

// scanAutomatic reads a header, field by field.
func scanAutomatic(r io.Reader) (bool, error) {
	in := bufio.NewReader(r)
	field := ""
	for {
		line, err := in.ReadString('\n')
		if err != nil && err != io.EOF {
			return false, err
		}
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			if len(field) < fieldEnough {
				field += line
			}
			continue
		}
		if marksAutomatic(field) {
			return true, nil
		}
		if err == io.EOF && line == "" || line == "\n" {
			return false, nil
		}
		field = line
	}
}

// marksAutomatic judges one unfolded field.
func marksAutomatic(field string) bool {
	name, value, ok := strings.Cut(field, ":")
	if !ok {
		return false
	}
	value, _, _ = strings.Cut(value, ";") // parameters of Auto-Submitted
	value, _, _ = strings.Cut(value, "(") // a comment
	value = strings.ToLower(strings.TrimSpace(value))
	switch strings.ToLower(strings.TrimRight(name, " \t")) {
	case "list-id":
		return true
	case "precedence":
		return value == "bulk" || value == "list" || value == "junk"
	case "auto-submitted":
		return value != "no" && value != ""
	}
	return false
}
