package maildrop

import (
	"fmt"
	"hash"
	"hash/crc64"
)

// A drop file is a preamble of fixed length, the envelope, and the body. The
// preamble is written last: until then it is blank, so that a file cut short is
// never taken for a whole one.
//
//	postrider-drop 1 <envelope length> <body length> <CRC-64 of both>\n
const (
	preambleFormat = "postrider-drop 1 %08x %016x %016x\n"
	preambleLength = len("postrider-drop 1 ") + 8 + 1 + 16 + 1 + 16 + 1
)

// Names in the directory: a finished file, and one being written.
const (
	finishedPrefix = "drop-"
	tempPrefix     = "tmp-"
)

type preamble struct {
	header int64
	body   int64
	sum    uint64
}

func (p preamble) String() string {
	return fmt.Sprintf(preambleFormat, p.header, p.body, p.sum)
}

// parsePreamble accepts nothing but what String prints.
func parsePreamble(text string) (preamble, error) {
	var p preamble
	_, err := fmt.Sscanf(text, preambleFormat, &p.header, &p.body, &p.sum)
	if err != nil || p.header < 0 || p.body < 0 || p.String() != text {
		return p, fmt.Errorf("it does not begin as version 1 of the format does: %.60q", text)
	}
	return p, nil
}

func newChecksum() hash.Hash64 { return crc64.New(crc64.MakeTable(crc64.ECMA)) }
