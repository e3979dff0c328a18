package message

import "bytes"

// Plain gives the form in which SMTP carries a stored message, as Outgoing does,
// if that takes nothing but CRLF line ends: there is no NUL and no CR in it and no
// line over MaxLine. Most messages are like that; ok is false for others.
func Plain(stored []byte) (wire []byte, ok bool) {
	if len(stored) == 0 || stored[len(stored)-1] != '\n' ||
		bytes.IndexByte(stored, '\r') >= 0 || bytes.IndexByte(stored, 0) >= 0 {
		return nil, false
	}
	wire = make([]byte, 0, len(stored)+bytes.Count(stored, []byte("\n")))
	for len(stored) > 0 {
		i := bytes.IndexByte(stored, '\n')
		if i > MaxLine {
			return nil, false
		}
		wire = append(append(wire, stored[:i]...), '\r', '\n')
		stored = stored[i+1:]
	}
	return wire, true
}
