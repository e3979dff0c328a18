package local

import (
	"fmt"
	"io"

	"postrider/internal/address"
)

// Looped tells whether a message was delivered to the address, or forwarded from
// it, before: whether it has a Delivered-To field that says so. open yields the
// message from its start.
func Looped(to address.Address, open func() (io.ReadCloser, error)) (bool, error) {
	body, err := open()
	if err != nil {
		return false, fmt.Errorf("open message: %w", err)
	}
	defer body.Close()
	seen, err := hasDeliveredTo(body, deliveredTo(to))
	if err != nil {
		return false, fmt.Errorf("read message: %w", err)
	}
	return seen, nil
}
